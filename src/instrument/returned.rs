//! How the attributes handle a function's return value, whatever its type.
//!
//! The attributes see tokens, not types: `Answer<Chunk>` may be an alias of a result of a boxed stream. They expand
//! to `(&&&Type::of(&returned)).outcome()`, and method lookup picks the trait that is implemented for the type with
//! the most references (autoref specialization).

use std::any::type_name;
use std::fmt::Display;
use std::marker::PhantomData;
use std::pin::Pin;

use futures_core::Stream;

use super::TracedStream;
use super::record_item::{RecordItem, RecordOk};
use super::service_guard::ServiceGuard;

/// The type of a value.
pub struct Type<T>(PhantomData<fn() -> T>);

impl<T> Type<T> {
    /// Returns the type of `value`.
    pub fn of(_value: &T) -> Self {
        Self(PhantomData)
    }
}

/// Declares a trait for each number of references.
macro_rules! levels {
    ($method:ident $($level:ident)*) => {$(
        /// One level of the method lookup.
        pub trait $level {
            /// How a value of the type is handled.
            type Kind;
            /// How a value of the type is handled.
            fn $method(&self) -> Self::Kind;
        }
    )*};
}

/// Whether the function returned a result.
pub mod outcome {
    use super::*;

    levels! { outcome Level0 Level1 Level2 }

    /// A result whose error is `Display`.
    pub struct DisplayError;
    /// A result whose error is not `Display`.
    pub struct OpaqueError;
    /// Not a result.
    pub struct Value;

    impl<T, E: Display> Level2 for &&Type<Result<T, E>> {
        type Kind = DisplayError;
        fn outcome(&self) -> DisplayError {
            DisplayError
        }
    }

    impl<T, E> Level1 for &Type<Result<T, E>> {
        type Kind = OpaqueError;
        fn outcome(&self) -> OpaqueError {
            OpaqueError
        }
    }

    impl<T> Level0 for Type<T> {
        type Kind = Value;
        fn outcome(&self) -> Value {
            Value
        }
    }

    impl DisplayError {
        /// Passes the value of an `Ok` to `value`; an `Err` ends the span.
        pub fn map<T, E: Display, U>(
            self,
            returned: Result<T, E>,
            mut service: ServiceGuard,
            value: impl FnOnce(T, ServiceGuard) -> U,
        ) -> Result<U, E> {
            match returned {
                Ok(returned) => Ok(value(returned, service)),
                Err(error) => {
                    service.error(&error);
                    Err(error)
                }
            }
        }
    }

    impl OpaqueError {
        /// Passes the value of an `Ok` to `value`; an `Err` ends the span.
        pub fn map<T, E, U>(
            self,
            returned: Result<T, E>,
            mut service: ServiceGuard,
            value: impl FnOnce(T, ServiceGuard) -> U,
        ) -> Result<U, E> {
            match returned {
                Ok(returned) => Ok(value(returned, service)),
                Err(error) => {
                    service.failed(type_name::<E>());
                    Err(error)
                }
            }
        }
    }

    impl Value {
        /// Passes the value to `value`.
        pub fn map<T, U>(
            self,
            returned: T,
            service: ServiceGuard,
            value: impl FnOnce(T, ServiceGuard) -> U,
        ) -> U {
            value(returned, service)
        }
    }
}

/// Whether the value, alone or in an `Ok`, is a stream.
pub mod value {
    use super::*;

    levels! { value Level0 Level1 Level2 Level3 Level4 }

    /// A stream of results.
    pub struct ResultStream;
    /// A stream of anything else.
    pub struct AnyStream;
    /// Not a stream.
    pub struct Output;

    impl<S, T, E: Display> Level2 for &&Type<S>
    where
        S: Stream<Item = Result<T, E>>,
    {
        type Kind = ResultStream;
        fn value(&self) -> ResultStream {
            ResultStream
        }
    }

    impl<S: Stream> Level1 for &Type<S> {
        type Kind = AnyStream;
        fn value(&self) -> AnyStream {
            AnyStream
        }
    }

    impl<T> Level0 for Type<T> {
        type Kind = Output;
        fn value(&self) -> Output {
            Output
        }
    }

    impl ResultStream {
        /// Wraps the stream, which ends the span.
        pub fn finish<S, T, E, O>(
            self,
            stream: S,
            service: ServiceGuard,
            record: O,
        ) -> TracedStream<S, RecordOk<O>>
        where
            S: Stream<Item = Result<T, E>>,
            E: Display,
            O: RecordItem<T>,
        {
            TracedStream::new(stream, service, RecordOk(record))
        }
    }

    impl AnyStream {
        /// Wraps the stream, which ends the span.
        pub fn finish<S: Stream, O: RecordItem<S::Item>>(
            self,
            stream: S,
            service: ServiceGuard,
            record: O,
        ) -> TracedStream<S, O> {
            TracedStream::new(stream, service, record)
        }
    }

    impl Output {
        /// Records the output and ends the span.
        pub fn finish<T, O: RecordItem<T>>(
            self,
            output: T,
            mut service: ServiceGuard,
            mut record: O,
        ) -> T {
            service.output(&output, &mut record);
            output
        }
    }

    /// Boxed streams stay boxed: the function's signature requires the type.
    macro_rules! boxed {
        ($($any:ident $results:ident [$($bound:tt)*];)*) => {$(
            /// A boxed stream of results.
            pub struct $results;
            /// A boxed stream of anything else.
            pub struct $any;

            impl<'a, T, E: Display> Level4
                for &&&&Type<Pin<Box<dyn Stream<Item = Result<T, E>> $($bound)* + 'a>>>
            {
                type Kind = $results;
                fn value(&self) -> $results {
                    $results
                }
            }

            impl<'a, I> Level3 for &&&Type<Pin<Box<dyn Stream<Item = I> $($bound)* + 'a>>> {
                type Kind = $any;
                fn value(&self) -> $any {
                    $any
                }
            }

            impl $results {
                /// Wraps the stream, which ends the span.
                pub fn finish<'a, T: 'a, E: Display + 'a, O: RecordItem<T> $($bound)* + 'a>(
                    self,
                    stream: Pin<Box<dyn Stream<Item = Result<T, E>> $($bound)* + 'a>>,
                    service: ServiceGuard,
                    record: O,
                ) -> Pin<Box<dyn Stream<Item = Result<T, E>> $($bound)* + 'a>> {
                    Box::pin(TracedStream::new(stream, service, RecordOk(record)))
                }
            }

            impl $any {
                /// Wraps the stream, which ends the span.
                pub fn finish<'a, I: 'a, O: RecordItem<I> $($bound)* + 'a>(
                    self,
                    stream: Pin<Box<dyn Stream<Item = I> $($bound)* + 'a>>,
                    service: ServiceGuard,
                    record: O,
                ) -> Pin<Box<dyn Stream<Item = I> $($bound)* + 'a>> {
                    Box::pin(TracedStream::new(stream, service, record))
                }
            }
        )*};
    }

    boxed! {
        LocalBox LocalBoxOfResults [];
        SendBox SendBoxOfResults [+ Send];
        SyncBox SyncBoxOfResults [+ Send + Sync];
    }
}
