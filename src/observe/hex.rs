//! Ids of spans, serialized as OTLP/JSON has them: hexadecimal text.

macro_rules! hex {
    ($name:ident, $id:ty) => {
        pub(super) mod $name {
            use serde::de::{Deserialize, Deserializer, Error};
            use serde::ser::Serializer;
            use std::borrow::Cow;

            pub(in super::super) fn serialize<S: Serializer>(
                id: &$id,
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                serializer.collect_str(id)
            }

            pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
                deserializer: D,
            ) -> Result<$id, D::Error> {
                let text = Cow::<'de, str>::deserialize(deserializer)?;
                <$id>::from_hex(&text).map_err(|_| {
                    D::Error::custom(format_args!(
                        "{text:?} is not a hexadecimal id of a span or trace"
                    ))
                })
            }
        }
    };
}

hex!(trace_id, opentelemetry::trace::TraceId);
hex!(span_id, opentelemetry::trace::SpanId);
