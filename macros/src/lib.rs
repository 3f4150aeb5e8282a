//! The procedural macros of `tracing-conversation`; use them through that crate.

use proc_macro::TokenStream;

mod span;

/// Joins the fields a span macro declares with those it was given; no field twice.
///
/// Takes `[path of tracing] [name] [declared by all] [declared] [given]` and becomes one
/// `info_span!`. Not part of the public interface: use `llm_span!` and its siblings.
#[proc_macro]
pub fn declare_span(input: TokenStream) -> TokenStream {
    span::declare(input)
}
