//! One-line bodies do not trip `unused_braces`: `cargo fix` would remove their braces and break the function.
#![deny(unused_braces)]
#![allow(clippy::panic)]

#[rustfmt::skip] // Would break the bodies into several lines.
mod one_line {
    use std::pin::Pin;
    use tracing_conversation::{instrument::Recorder, traced_llm, traced_stt, traced_tool, traced_tts};

    #[traced_stt]
    pub fn synchronous(n: u8) -> u8 { n }

    #[traced_llm]
    pub async fn asynchronous(n: u8) -> u8 { n }

    #[traced_tts]
    pub async fn fallible(n: u8) -> Result<u8, u8> { Ok(n) }

    #[traced_tool]
    pub fn future(n: u8) -> impl Future<Output = u8> { async move { n } }

    #[traced_tool]
    pub fn boxed_future(n: u8) -> Pin<Box<dyn Future<Output = u8>>> { Box::pin(async move { n }) }

    #[traced_tool(record: |n: &u8, recorder: &mut Recorder<'_>| { recorder.tool_result(n); })]
    pub async fn recorded(n: u8) -> u8 { n }

    #[traced_tool]
    pub fn empty() {}

    pub struct Object(pub u8);

    impl Object {
        #[traced_tool]
        pub async fn method(&self) -> u8 { self.0 }
    }
}

/// Polls a future that is ready at once.
fn ready<T>(future: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => panic!("the future is not ready"),
    }
}

#[test]
fn one_line_bodies_do_not_trip_unused_braces() {
    use one_line::*;
    empty();
    assert_eq!(synchronous(1), 1);
    assert_eq!(ready(asynchronous(2)), 2);
    assert_eq!(ready(fallible(3)), Ok(3));
    assert_eq!(ready(future(4)), 4);
    assert_eq!(ready(boxed_future(5)), 5);
    assert_eq!(ready(recorded(6)), 6);
    assert_eq!(ready(Object(7).method()), 7);
}
