//! Procedural macros of `tracing-conversation`; use them through that crate.

use proc_macro::TokenStream;

mod meant;
mod span;
#[cfg(feature = "attributes")]
mod traced;

/// Merges the fields that a span macro declares with those of its caller, each field once.
///
/// Takes `[path of tracing] [name] [common fields] [declared fields] [caller's tokens]` and expands to one
/// `info_span!`. Not part of the public interface: use `llm_span!` and its siblings.
#[proc_macro]
pub fn declare_span(input: TokenStream) -> TokenStream {
    span::declare(input)
}

/// Defines an attribute for each kind of service.
#[cfg(feature = "attributes")]
macro_rules! attributes {
    ($($attribute:ident $service:literal;)*) => {$(
        #[allow(missing_docs)] // Documented where `tracing-conversation` re-exports it.
        #[proc_macro_attribute]
        pub fn $attribute(arguments: TokenStream, item: TokenStream) -> TokenStream {
            traced::attribute($service, arguments.into(), item.into()).into()
        }
    )*};
}

#[cfg(feature = "attributes")]
attributes! {
    traced_stt "stt";
    traced_llm "llm";
    traced_tts "tts";
    traced_tool "tool";
    traced_agent "agent";
}
