//! How the attributes treat what a function returned, whatever its type is.
//!
//! The attributes see tokens, not types: `Answer<Chunk>` may be an alias of a result of a boxed
//! stream. So they write `(&&&Type::of(&returned)).outcome()`, and method lookup takes the first trait
//! below, by number of references, that is implemented for the type.

use std::any::type_name;
use std::fmt::Display;
use std::marker::PhantomData;
use std::pin::Pin;

use futures_core::Stream;

use super::TracedStream;
use super::observe::{Observe, OkOf};
use super::service::Service;

/// Stands for the type of a value.
pub struct Type<T>(PhantomData<fn() -> T>);

impl<T> Type<T> {
    /// The type of `value`.
    pub fn of(_value: &T) -> Self {
        Self(PhantomData)
    }
}

/// A trait for each number of references.
macro_rules! levels {
    ($method:ident $($level:ident)*) => {$(
        /// One step of the lookup.
        pub trait $level {
            /// How a value of the type is treated.
            type Kind;
            /// How a value of the type is treated.
            fn $method(&self) -> Self::Kind;
        }
    )*};
}

/// Kinds of what the function returned: is it a result?
pub mod outcome {
    use super::*;

    levels! { outcome Level0 Level1 Level2 }

    /// A result whose error tells what went wrong.
    pub struct Telling;
    /// A result whose error cannot be displayed.
    pub struct Silent;
    /// Anything else.
    pub struct Value;

    impl<T, E: Display> Level2 for &&Type<Result<T, E>> {
        type Kind = Telling;
        fn outcome(&self) -> Telling {
            Telling
        }
    }

    impl<T, E> Level1 for &Type<Result<T, E>> {
        type Kind = Silent;
        fn outcome(&self) -> Silent {
            Silent
        }
    }

    impl<T> Level0 for Type<T> {
        type Kind = Value;
        fn outcome(&self) -> Value {
            Value
        }
    }

    impl Telling {
        /// Passes the value of an `Ok` on to `value`.
        pub fn map<T, E: Display, U>(
            self,
            returned: Result<T, E>,
            mut service: Service,
            value: impl FnOnce(T, Service) -> U,
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

    impl Silent {
        /// Passes the value of an `Ok` on to `value`.
        pub fn map<T, E, U>(
            self,
            returned: Result<T, E>,
            mut service: Service,
            value: impl FnOnce(T, Service) -> U,
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
        /// Passes the value on to `value`.
        pub fn map<T, U>(
            self,
            returned: T,
            service: Service,
            value: impl FnOnce(T, Service) -> U,
        ) -> U {
            value(returned, service)
        }
    }
}

/// Kinds of the value, alone or in an `Ok`: is it a stream?
pub mod value {
    use super::*;

    levels! { value Level0 Level1 Level2 Level3 Level4 }

    /// A stream of results.
    pub struct ResultStream;
    /// A stream of anything else.
    pub struct AnyStream;
    /// The output itself.
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
        /// Goes on with the items.
        pub fn go_on<S, T, E, O>(
            self,
            stream: S,
            service: Service,
            look: O,
        ) -> TracedStream<S, OkOf<O>>
        where
            S: Stream<Item = Result<T, E>>,
            E: Display,
            O: Observe<T>,
        {
            TracedStream::new(stream, service, OkOf(look))
        }
    }

    impl AnyStream {
        /// Goes on with the items.
        pub fn go_on<S: Stream, O: Observe<S::Item>>(
            self,
            stream: S,
            service: Service,
            look: O,
        ) -> TracedStream<S, O> {
            TracedStream::new(stream, service, look)
        }
    }

    impl Output {
        /// Ends the span.
        pub fn go_on<T, O: Observe<T>>(self, output: T, mut service: Service, mut look: O) -> T {
            service.output(&output, &mut look);
            output
        }
    }

    /// Boxed streams stay boxed, as the function's signature says.
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
                /// Goes on with the items.
                pub fn go_on<'a, T: 'a, E: Display + 'a, O: Observe<T> $($bound)* + 'a>(
                    self,
                    stream: Pin<Box<dyn Stream<Item = Result<T, E>> $($bound)* + 'a>>,
                    service: Service,
                    look: O,
                ) -> Pin<Box<dyn Stream<Item = Result<T, E>> $($bound)* + 'a>> {
                    Box::pin(TracedStream::new(stream, service, OkOf(look)))
                }
            }

            impl $any {
                /// Goes on with the items.
                pub fn go_on<'a, I: 'a, O: Observe<I> $($bound)* + 'a>(
                    self,
                    stream: Pin<Box<dyn Stream<Item = I> $($bound)* + 'a>>,
                    service: Service,
                    look: O,
                ) -> Pin<Box<dyn Stream<Item = I> $($bound)* + 'a>> {
                    Box::pin(TracedStream::new(stream, service, look))
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
