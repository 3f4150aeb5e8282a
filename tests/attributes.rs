use futures_util::{Stream, StreamExt, stream};
use std::pin::Pin;
use tracing_conversation::instrument::Seen;
use tracing_conversation::traced_llm;

#[traced_llm(gen_ai.request.model = "gpt-4o", input = prompt)]
async fn answer(prompt: &str) -> Result<String, std::io::Error> {
    if prompt.is_empty() {
        return Err(std::io::Error::other("x"));
    }
    Ok(prompt.to_owned())
}

#[traced_llm(look: |p: &String, seen: &mut Seen| { seen.output(p); }, input = prompt)]
async fn answers(prompt: &str) -> Result<impl Stream<Item = String> + use<>, std::io::Error> {
    if prompt.is_empty() {
        return Err(std::io::Error::other("x"));
    }
    Ok(stream::iter([prompt.to_owned()]))
}

type Answer = Pin<Box<dyn Stream<Item = Result<String, std::io::Error>> + Send>>;
#[traced_llm(look: |p: &String, seen: &mut Seen| { seen.output(p); }, input = prompt)]
async fn boxed(prompt: &str) -> Result<Answer, std::io::Error> {
    let prompt = prompt.to_owned();
    Ok(Box::pin(stream::iter([Ok(prompt)])))
}

#[traced_llm(input = prompt)]
fn sync_stream(prompt: &str) -> impl Stream<Item = String> + use<> {
    stream::iter([prompt.to_owned()])
}

#[async_trait::async_trait]
trait Llm {
    async fn run(&self, prompt: &str) -> Result<Answer, std::io::Error>;
}
struct Mine(String);
#[async_trait::async_trait]
impl Llm for Mine {
    #[traced_llm(gen_ai.request.model = self.0.as_str(), input = prompt)]
    async fn run(&self, prompt: &str) -> Result<Answer, std::io::Error> {
        let answer = self.0.clone() + prompt;
        Ok(Box::pin(stream::iter([Ok(answer)])))
    }
}

#[tokio::test]
async fn works() {
    assert_eq!(answer("a").await.unwrap(), "a");
    assert_eq!(answers("a").await.unwrap().count().await, 1);
    assert_eq!(boxed("a").await.unwrap().count().await, 1);
    assert_eq!(sync_stream("a").count().await, 1);
    assert_eq!(Mine("x".into()).run("a").await.unwrap().count().await, 1);
}
