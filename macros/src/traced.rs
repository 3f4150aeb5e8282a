//! The `traced_*` attributes: a service span around a function, and around the stream it returns.

use proc_macro2::{Delimiter, Spacing, Span, TokenStream, TokenTree};
use quote::{format_ident, quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::visit_mut::{self, VisitMut};
use syn::{
    Attribute, Expr, GenericArgument, Ident, Item, ItemFn, Path, PathArguments, ReturnType, Token,
    TraitItemFn, Type, TypeParamBound, parse_quote,
};

/// The arguments of an attribute.
pub(crate) struct Arguments {
    krate: Path,
    record: Option<Expr>,
    /// `target: …,` and `parent: …,`, for the span macro.
    settings: TokenStream,
    fields: TokenStream,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut arguments = Self {
            krate: parse_quote!(::tracing_conversation),
            record: None,
            settings: TokenStream::new(),
            fields: TokenStream::new(),
        };
        while input.peek2(Token![:]) && !input.peek2(Token![::]) {
            if input.peek(Token![crate]) {
                input.parse::<Token![crate]>()?;
                input.parse::<Token![:]>()?;
                arguments.krate = input.call(Path::parse_mod_style)?;
            } else {
                let setting: Ident = input.parse()?;
                input.parse::<Token![:]>()?;
                let value: Expr = input.parse()?;
                if setting == "record" {
                    arguments.record = Some(value);
                } else if setting == "target" || setting == "parent" {
                    arguments.settings.extend(quote!(#setting: #value,));
                } else {
                    return Err(syn::Error::new(
                        setting.span(),
                        format!(
                            "`{setting}:` is not a setting; the settings are `record:`, `target:`, `parent:` \
                             and `crate:`, and a field is written `{setting} = …`"
                        ),
                    ));
                }
            }
            if input.is_empty() {
                return Ok(arguments);
            }
            input.parse::<Token![,]>()?;
        }
        if input.peek(Ident) && input.peek2(Token![=]) {
            let field: Ident = input.fork().parse()?;
            if field == "record" {
                return Err(syn::Error::new(field.span(), WRITE_RECORD));
            }
        }
        arguments.fields = input.parse()?;
        check_order(&arguments.fields)?;
        Ok(arguments)
    }
}

const WRITE_RECORD: &str = "write `record: |item: &Item, recorder: &mut Recorder<'_>| …`, with a colon; \
                            `record = …` would be a field";

/// Fails for a setting among the fields.
fn check_order(fields: &TokenStream) -> syn::Result<()> {
    let mut is_first = true;
    let mut tokens = fields.clone().into_iter().peekable();
    while let Some(token) = tokens.next() {
        if is_first
            && let TokenTree::Ident(setting) = &token
            && ["record", "target", "parent", "crate"]
                .iter()
                .any(|name| setting == name)
            && let Some(TokenTree::Punct(colon)) = tokens.peek()
            && colon.as_char() == ':'
            && colon.spacing() == Spacing::Alone
        {
            return Err(syn::Error::new(
                setting.span(),
                format!("settings come before the fields: write `{setting}: …` first"),
            ));
        }
        is_first = matches!(&token, TokenTree::Punct(comma) if comma.as_char() == ',');
    }
    Ok(())
}

/// What `#[tracing::instrument]` takes and what to write in its place, of which `err` and `ret` are found only where the
/// function has no argument of that name.
const INSTRUMENT: [(&str, &str); 6] = [
    ("err", "an `Err` is recorded without it: remove `err`"),
    (
        "ret",
        "write `record: |value: &Value, recorder: &mut Recorder<'_>| { recorder.output(value); }` in place of `ret`",
    ),
    (
        "skip_all",
        "only arguments that are named as fields are recorded: remove `skip_all`",
    ),
    (
        "skip",
        "only arguments that are named as fields are recorded: remove `skip(…)`",
    ),
    ("fields", "write the fields without `fields(…)` around them"),
    (
        "follows_from",
        "write `parent: …`, or record a link inside the function",
    ),
];

/// Fails for an argument of `#[tracing::instrument]` that is no field.
fn check_habits(fields: &TokenStream, function: &ItemFn) -> syn::Result<()> {
    let is_argument = |name: &Ident| {
        function.sig.inputs.iter().any(|input| match input {
            syn::FnArg::Typed(argument) => {
                matches!(&*argument.pat, syn::Pat::Ident(pattern) if pattern.ident == *name)
            }
            syn::FnArg::Receiver(_) => false,
        })
    };
    let mut is_first = true;
    let mut tokens = fields.clone().into_iter().peekable();
    while let Some(token) = tokens.next() {
        if is_first
            && let TokenTree::Ident(name) = &token
            && let Some((_, advice)) = INSTRUMENT.iter().find(|(habit, _)| name == habit)
        {
            let is_habit = match tokens.peek() {
                Some(TokenTree::Group(group)) => group.delimiter() == Delimiter::Parenthesis,
                Some(TokenTree::Punct(comma)) => comma.as_char() == ',' && !is_argument(name),
                None => !is_argument(name),
                Some(_) => false,
            };
            if is_habit {
                return Err(syn::Error::new(name.span(), *advice));
            }
        }
        is_first = matches!(&token, TokenTree::Punct(comma) if comma.as_char() == ',');
    }
    Ok(())
}

/// Fails if another attribute of this crate is on the function: it is one service's work.
fn check_alone(service: &str, function: &ItemFn) -> syn::Result<()> {
    match function.attrs.iter().find(|attribute| is_traced(attribute)) {
        Some(other) => {
            let name = other
                .path()
                .segments
                .last()
                .map(|last| last.ident.to_string());
            Err(syn::Error::new_spanned(
                other.path(),
                format!(
                    "`#[traced_{service}]` is on this function already: keep one of the two, and put \
                     `#[{}]` on a function that this one calls",
                    name.unwrap_or_default()
                ),
            ))
        }
        None => Ok(()),
    }
}

fn is_traced(attribute: &Attribute) -> bool {
    let last = attribute.path().segments.last();
    last.is_some_and(|last| last.ident.to_string().starts_with("traced_"))
}

/// Wraps the function `item` in a span of `service`, such as `llm`.
pub(crate) fn attribute(service: &str, arguments: TokenStream, item: TokenStream) -> TokenStream {
    // Syntax errors in the function are left to the compiler, which explains them better.
    let function = match parse_function(service, &item) {
        Ok(function) => function,
        Err(error) => {
            let error = error.into_compile_error();
            return quote!(#error #item);
        }
    };
    check_alone(service, &function)
        .and_then(|()| syn::parse2(arguments))
        .and_then(|arguments| expand(service, arguments, &function))
        .unwrap_or_else(|error| {
            let error = error.into_compile_error();
            let mut function = function;
            // One error is enough.
            function.attrs.retain(|attribute| !is_traced(attribute));
            quote!(#error #function)
        })
}

fn parse_function(service: &str, item: &TokenStream) -> syn::Result<ItemFn> {
    syn::parse2(item.clone()).map_err(|error| {
        if let Ok(declaration) = syn::parse2::<TraitItemFn>(item.clone()) {
            return syn::Error::new(
                declaration.sig.ident.span(),
                format!(
                    "`#[traced_{service}]` needs a function body; \
                     put it on the implementations instead"
                ),
            );
        }
        if let Ok(other) = syn::parse2::<Item>(item.clone())
            && !matches!(other, Item::Fn(_) | Item::Verbatim(_))
        {
            return syn::Error::new_spanned(
                other,
                format!("`#[traced_{service}]` belongs on a function or method"),
            );
        }
        error
    })
}

fn expand(service: &str, arguments: Arguments, function: &ItemFn) -> syn::Result<TokenStream> {
    if let Some(constness) = function.sig.constness {
        return Err(syn::Error::new(
            constness.span,
            format!("`#[traced_{service}]` creates a span at run time; remove `const`"),
        ));
    }
    let ItemFn {
        attrs,
        vis,
        sig,
        block,
    } = function;
    let Arguments {
        krate,
        record,
        settings,
        mut fields,
    } = arguments;
    check_habits(&fields, function)?;
    let name = sig.ident.to_string();
    if service == "tool" && !sets(&fields, "gen_ai.tool.name") {
        fields = quote!(gen_ai.tool.name = #name, #fields);
    } else if service == "agent" && !sets(&fields, "gen_ai.agent.name") {
        fields = quote!(gen_ai.agent.name = #name, #fields);
    }

    // Mixed-site hygiene: these names cannot collide with the function's own.
    let here = Span::mixed_site();
    let guard = Ident::new("service", here);
    // Inside another block, the braces of a one-line body would trip `unused_braces`, and `cargo fix` would remove them.
    // The lint skips braces whose span comes from a macro.
    let mut block = block.clone();
    let braces = block.brace_token.span.join();
    block.brace_token = syn::token::Brace(braces.resolved_at(here));
    let record = match record {
        Some(record) => quote!(#record),
        None => quote!(#krate::instrument::RecordNothing),
    };
    let span_macro = format_ident!("{service}_span");
    let create_guard = quote_spanned! {here=>
        let #guard = #krate::__private::ServiceGuard::new(#krate::#span_macro!(#settings #fields));
    };
    let finish = quote_spanned! {here=> {
        use #krate::__private::returned::outcome::{
            Level0 as _, Level1 as _, Level2 as _,
        };
        let outcome = (&&&#krate::__private::returned::Type::of(&returned)).outcome();
        outcome.map(returned, #guard, |value, service| {
            use #krate::__private::returned::value::{
                Level0 as _, Level1 as _, Level2 as _, Level3 as _, Level4 as _,
            };
            let kind = (&&&&&#krate::__private::returned::Type::of(&value)).value();
            kind.finish(value, service, #record)
        })
    }};
    let awaited = |future: TokenStream| {
        quote_spanned! {here=>
            let returned =
                #krate::__private::tracing::Instrument::instrument(#future, #guard.span()).await;
            #finish
        }
    };

    let output = match &sig.output {
        ReturnType::Default => parse_quote!(()),
        ReturnType::Type(_, output) => inferable(output),
    };
    let body = if sig.asyncness.is_some() {
        // Never runs; it gives the type to `?` and `return` inside the `async` block.
        let infer_type = quote_spanned! {here=>
            #[allow(clippy::all, clippy::pedantic, unreachable_code)]
            if false {
                let returned: #output = loop {};
                return returned;
            }
        };
        let run = awaited(quote_spanned!(here=> async move { #infer_type #block }));
        quote_spanned!(here=> #create_guard #run)
    } else {
        let call = quote_spanned! {here=>
            #[allow(clippy::redundant_closure_call)]
            let returned = #guard.in_scope(move || -> #output { #block });
        };
        match future_of(&sig.output) {
            Some(Future::Boxed) => {
                let run = awaited(quote_spanned!(here=> returned));
                quote_spanned! {here=>
                    #create_guard #call
                    ::std::boxed::Box::pin(async move { #run })
                }
            }
            Some(Future::Plain) => {
                let run = awaited(quote_spanned!(here=> returned));
                quote_spanned!(here=> #create_guard #call async move { #run })
            }
            None => quote_spanned!(here=> #create_guard #call #finish),
        }
    };
    Ok(quote! {
        #(#attrs)*
        #vis #sig {
            #body
        }
    })
}

/// Returns whether `field` is among the fields.
fn sets(fields: &TokenStream, field: &str) -> bool {
    let fields: String = fields.to_string().split_whitespace().collect();
    fields.contains(&format!("{field}="))
}

/// Replaces each `impl Trait` in the type with `_`: only signatures may contain one.
fn inferable(output: &Type) -> Type {
    struct Infer;
    impl VisitMut for Infer {
        fn visit_type_mut(&mut self, node: &mut Type) {
            if matches!(node, Type::ImplTrait(_)) {
                *node = parse_quote!(_);
            } else {
                visit_mut::visit_type_mut(self, node);
            }
        }
    }
    let mut output = output.clone();
    Infer.visit_type_mut(&mut output);
    output
}

/// How a non-`async` function returns a future.
enum Future {
    /// `Pin<Box<dyn Future>>`, as `async_trait` writes it, or `BoxFuture`.
    Boxed,
    /// `impl Future`.
    Plain,
}

fn future_of(output: &ReturnType) -> Option<Future> {
    let ReturnType::Type(_, output) = output else {
        return None;
    };
    match &**output {
        Type::ImplTrait(plain) => has_future(&plain.bounds).then_some(Future::Plain),
        Type::Path(path) => {
            let last = path.path.segments.last()?;
            if last.ident == "BoxFuture" || last.ident == "LocalBoxFuture" {
                return Some(Future::Boxed);
            }
            let boxed = only_argument(&last.arguments).filter(|_| last.ident == "Pin")?;
            let Type::Path(boxed) = boxed else {
                return None;
            };
            let last = boxed.path.segments.last()?;
            match only_argument(&last.arguments).filter(|_| last.ident == "Box")? {
                Type::TraitObject(object) => has_future(&object.bounds).then_some(Future::Boxed),
                _ => None,
            }
        }
        _ => None,
    }
}

fn has_future<'a>(bounds: impl IntoIterator<Item = &'a TypeParamBound>) -> bool {
    bounds.into_iter().any(|bound| match bound {
        TypeParamBound::Trait(bound) => bound
            .path
            .segments
            .last()
            .is_some_and(|last| last.ident == "Future"),
        _ => false,
    })
}

fn only_argument(arguments: &PathArguments) -> Option<&Type> {
    match arguments {
        PathArguments::AngleBracketed(arguments) => match arguments.args.first()? {
            GenericArgument::Type(argument) => Some(argument),
            _ => None,
        },
        _ => None,
    }
}
