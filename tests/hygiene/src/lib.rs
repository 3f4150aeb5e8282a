//! Compile-time test of macro hygiene, with conflicting names in scope.
#![no_implicit_prelude]

/// Items that shadow the prelude's names.
pub mod taken {
    #![allow(dead_code, missing_docs, clippy::unused_async)]

    pub struct Option;
    pub struct Result;
    pub struct Box;
    pub struct String;
    pub fn drop() {}
    pub mod core {}
    pub mod std {}
    pub mod tracing {}
    #[allow(non_snake_case)]
    pub fn Some() {}
    #[allow(non_snake_case)]
    pub fn Ok() {}

    /// Uses each macro.
    pub fn macros(service: u8, returned: &str) {
        ::voice::conversation_span!(conversation.id = %service);
        ::voice::stt_span!(language = returned);
        let span = ::voice::llm_span!(service, %returned, input = ?service);
        ::voice::tts_span!(parent: &span, text = returned);
        ::voice::tool_span!(target: "tools", gen_ai.tool.name = returned);
        ::voice::realtime_span!();
        ::voice::annotate!(service);
        ::voice::annotate!(parent: &span, service);
    }

    /// Uses each attribute, with arguments named like variables of the expansion.
    #[::voice::traced_llm(crate: ::voice, input = returned)]
    pub async fn llm(service: u8, returned: &str, value: u8, outcome: u8, kind: u8) -> usize {
        let sum = ::core::iter::Iterator::sum::<usize>(::core::iter::IntoIterator::into_iter([
            service as usize,
            value as usize,
            outcome as usize,
            kind as usize,
        ]));
        sum + returned.len()
    }

    #[::voice::traced_stt(crate: ::voice)]
    pub fn stt(service: u8) -> u8 {
        service
    }

    #[::voice::traced_tts(crate: ::voice, record: record)]
    pub async fn tts(service: u8) -> ::core::result::Result<u8, u8> {
        if service == 0 {
            return ::core::result::Result::Err(service);
        }
        ::core::result::Result::Ok(service)
    }

    fn record(_: &u8, _: &mut ::voice::instrument::Recorder<'_>) {}

    #[::voice::traced_tool(crate: ::voice)]
    pub fn tool<'a>(
        service: &'a u8,
    ) -> ::core::pin::Pin<::std::boxed::Box<dyn ::core::future::Future<Output = u8> + 'a>> {
        ::std::boxed::Box::pin(async move { *service })
    }
}
