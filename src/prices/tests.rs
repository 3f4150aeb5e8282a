//! Where a price is looked up, what it covers, and what is wrong with a file.

use super::*;

const FILE: &str = r#"{
    "sample_spec": { "input_cost_per_token": "US dollars", "max_tokens": "LEGACY parameter" },
    "gpt-4o": {
        "litellm_provider": "openai", "mode": "chat", "supports_vision": true,
        "input_cost_per_token": 2.5e-06, "output_cost_per_token": 1e-05, "cache_read_input_token_cost": 1.25e-06,
        "input_cost_per_token_batches": 9, "input_cost_per_token_priority": 9, "metadata": { "notes": ["more"] }
    },
    "azure/gpt-4o": { "litellm_provider": "azure", "input_cost_per_token": 3e-06, "output_cost_per_token": 1.2e-05 },
    "gemini-2.5-pro": {
        "litellm_provider": "vertex_ai-language-models",
        "input_cost_per_token": 1e-06, "input_cost_per_token_above_200k_tokens": 2e-06,
        "output_cost_per_token": 1e-05, "output_cost_per_token_above_200k_tokens": 1.5e-05,
        "cache_read_input_token_cost": 1e-07
    },
    "dashscope/qwen-plus": {
        "litellm_provider": "dashscope",
        "tiered_pricing": [
            { "range": [32000, 128000], "input_cost_per_token": 2, "output_cost_per_token": 20 },
            { "range": [0, 32000], "input_cost_per_token": 1, "output_cost_per_token": 10 }
        ]
    },
    "anthropic.claude-v2:1": { "litellm_provider": "bedrock_converse", "input_cost_per_token": 8e-06 },
    "deepgram/nova-3": { "litellm_provider": "deepgram", "input_cost_per_second": 0.0001, "output_cost_per_second": 0.0 },
    "whisper-1": { "litellm_provider": "openai", "input_cost_per_second": 0.0001, "output_cost_per_second": 0.0001 },
    "gpt-4o-transcribe": {
        "litellm_provider": "openai", "input_cost_per_second": 0.0002,
        "input_cost_per_token": 2.5e-06, "input_cost_per_audio_token": 6e-06, "output_cost_per_token": 1e-05
    },
    "cartesia/sonic-2": { "input_cost_per_character": 3e-05 },
    "house-voice": { "input_cost_per_character": 1e-05, "output_cost_per_second": null },
    "deepseek-chat": { "input_cost_per_token": 1, "off_peak_pricing": { "input_cost_per_token": 0.5 } },
    "online": { "input_cost_per_token": 1, "input_cost_per_request": 0.005 },
    "offline": { "input_cost_per_token": 1, "input_cost_per_request": 0.0, "off_peak_pricing": null },
    "dall-e-3": { "litellm_provider": "openai", "output_cost_per_image": 0.04 }
}"#;

/// `provider/model`, each `-` for none, and what it costs.
fn cost(service: &str, usage: Usage) -> String {
    let prices = Prices::from_json(FILE).unwrap();
    let (provider, model) = service.split_once(' ').unwrap();
    let (request, response) = model.split_once(" → ").unwrap_or((model, "-"));
    let known = |name| Some(name).filter(|name| *name != "-");
    let service = PricedService {
        provider: known(provider),
        request_model: known(request),
        response_model: known(response),
    };
    match prices.cost(service, &usage) {
        Ok(Some(cost)) => format!("{cost:.9}")
            .trim_end_matches('0')
            .trim_end_matches('.')
            .to_owned(),
        Ok(None) => "nothing".to_owned(),
        Err(unpriced) => unpriced.to_string(),
    }
}

fn tokens(input: u64, output: u64) -> Usage {
    Usage {
        input_tokens: Some(input),
        output_tokens: Some(output),
        ..Usage::default()
    }
}

fn characters(count: u64) -> Usage {
    Usage {
        characters: Some(count),
        ..Usage::default()
    }
}

fn seconds(seconds: f64) -> Usage {
    Usage {
        audio_seconds: Some(seconds),
        ..Usage::default()
    }
}

const NOT_LISTED: &str = "the model has no price in the file";

#[test]
fn model_is_found_under_its_provider_with_and_without_prefix_and_under_no_other() {
    for (service, expected) in [
        ("openai gpt-4o", "3.5"),
        ("OpenAI gpt-4o", "3.5"),
        ("openai openai/gpt-4o", "3.5"),
        ("- gpt-4o", "3.5"),
        ("azure gpt-4o", "4.2"),
        ("azure.ai.openai gpt-4o", "4.2"),
        ("azure.ai.openai azure/gpt-4o", "4.2"),
        ("- azure/gpt-4o", "4.2"),
        ("groq gpt-4o", NOT_LISTED),
        ("openai azure/gpt-4o", NOT_LISTED),
        ("openai GPT-4o", NOT_LISTED),
        ("openai gpt-4", NOT_LISTED),
        ("openai -", "the service records no model"),
        ("- -", "the service records no model"),
        ("openai sample_spec", NOT_LISTED),
        ("openai dall-e-3", NOT_LISTED),
    ] {
        let usage = tokens(1_000_000, 100_000);
        assert_eq!(cost(service, usage), expected, "{service}");
    }
    let input = Usage {
        input_tokens: Some(1_000_000),
        ..Usage::default()
    };
    assert_eq!(cost("aws.bedrock anthropic.claude-v2:1", input), "8");
    assert_eq!(cost("anthropic anthropic.claude-v2:1", input), NOT_LISTED);
}

#[test]
fn model_of_the_response_counts_where_that_of_the_request_is_not_listed() {
    let usage = tokens(1_000_000, 0);
    assert_eq!(cost("openai gpt-4o → gpt-4o-2030", usage), "2.5");
    assert_eq!(cost("azure.ai.openai my-deployment → gpt-4o", usage), "3");
    assert_eq!(cost("openai - → gpt-4o", usage), "2.5");
}

#[test]
fn entry_without_a_provider_is_of_any_provider() {
    assert_eq!(cost("in-house house-voice", characters(1_000)), "0.01");
    assert_eq!(cost("cartesia sonic-2", characters(1_000)), "0.03");
    assert_eq!(cost("- sonic-2", characters(1_000)), NOT_LISTED);
}

#[test]
fn tokens_in_a_cache_cost_what_the_file_says_else_what_input_costs() {
    let mut usage = tokens(1_000_000, 0);
    usage.cache_read_input_tokens = Some(400_000);
    assert_eq!(cost("openai gpt-4o", usage), "2");
    assert_eq!(cost("azure gpt-4o", usage), "3");
    usage.cache_creation_input_tokens = Some(600_001);
    assert!(cost("openai gpt-4o", usage).starts_with("gen_ai.usage.input_tokens is smaller"));
}

#[test]
fn price_above_a_number_of_input_tokens_is_that_of_all_tokens() {
    let gemini = "gcp.vertex_ai gemini-2.5-pro";
    assert_eq!(cost(gemini, tokens(200_000, 1_000)), "0.21");
    let mut above = tokens(200_001, 1_000);
    assert_eq!(cost(gemini, above), "0.415002");
    // What has no price of its own above keeps its price.
    above.cache_read_input_tokens = Some(200_001);
    assert_eq!(cost(gemini, above), "0.0350001");
    let qwen = "dashscope qwen-plus";
    assert_eq!(cost(qwen, tokens(32_000, 1)), "32010");
    assert_eq!(cost(qwen, tokens(32_001, 1)), "64022");
    assert_eq!(cost(qwen, tokens(1_000_000, 1)), "2000020");
}

#[test]
fn speech_is_billed_by_tokens_else_characters_else_seconds() {
    assert_eq!(cost("deepgram nova-3", seconds(90.0)), "0.009");
    assert_eq!(cost("openai whisper-1", seconds(90.0)), "0.009");
    assert_eq!(cost("openai gpt-4o-transcribe", seconds(90.0)), "0.018");
    let mut both = tokens(1_000, 100);
    both.audio_input_tokens = Some(1_000);
    both.audio_seconds = Some(90.0);
    assert_eq!(cost("openai gpt-4o-transcribe", both), "0.007");
    both.characters = Some(10_000);
    assert_eq!(cost("cartesia sonic-2", both), "0.3");
}

#[test]
fn what_has_no_price_has_no_cost_and_nothing_used_costs_nothing() {
    let no = |key: &str| format!("the file has no `{key}` for it");
    let gpt = "openai gpt-4o";
    assert_eq!(cost(gpt, characters(9)), no("input_cost_per_character"));
    assert_eq!(cost(gpt, seconds(9.0)), no("input_cost_per_second"));
    assert_eq!(
        cost("deepgram nova-3", tokens(9, 9)),
        no("input_cost_per_token")
    );
    let mut audio = tokens(9, 9);
    audio.audio_output_tokens = Some(1);
    assert_eq!(cost(gpt, audio), no("output_cost_per_audio_token"));
    assert_eq!(cost(gpt, tokens(0, 0)), "0");
    assert_eq!(cost(gpt, Usage::default()), "nothing");
    assert_eq!(cost("- -", Usage::default()), "nothing");
}

#[test]
fn model_that_is_billed_by_more_than_its_usage_has_no_cost() {
    let by = |key: &str| format!("the file has `{key}` for it, which is not supported");
    assert_eq!(
        cost("- deepseek-chat", tokens(1, 0)),
        by("off_peak_pricing")
    );
    assert_eq!(cost("- online", tokens(1, 0)), by("input_cost_per_request"));
    assert_eq!(cost("- offline", tokens(1, 0)), "1");
}

#[test]
fn later_prices_stand_in_front_of_earlier_ones() {
    let contract = r#"{ "gpt-4o": { "litellm_provider": "openai", "input_cost_per_token": 1 } }"#;
    let list = Prices::from_json(FILE).unwrap();
    let prices = list.clone().and(Prices::from_json(contract).unwrap());
    assert_eq!(prices.len(), list.len());
    let service = PricedService {
        provider: Some("openai"),
        request_model: Some("gpt-4o"),
        response_model: None,
    };
    assert_eq!(prices.cost(service, &tokens(3, 0)), Ok(Some(3.0)));
}

#[test]
fn error_names_position_and_what_is_allowed() {
    let allowed = "expected a number of US dollars from 0 upwards as";
    for (json, expected) in [
        (
            "",
            "line 1, column 0: EOF while parsing a value".to_owned(),
        ),
        (
            "[]",
            "line 1, column 0: invalid type: sequence, expected an object with an object of prices for each model"
                .to_owned(),
        ),
        (
            "{\n  \"a\": 3\n}",
            "line 2, column 8: invalid type: integer `3`, expected an object with the prices of `a`".to_owned(),
        ),
        (
            "{\n  \"a\": {\n    \"output_cost_per_token\": -1e-6 } }",
            format!("line 3, column 34: invalid value: floating point `-1e-6`, {allowed} `output_cost_per_token` of `a`"),
        ),
        (
            "{ \"a\": { \"input_cost_per_token\": -1 } }",
            format!("line 1, column 35: invalid value: integer `-1`, {allowed} `input_cost_per_token` of `a`"),
        ),
        (
            "{ \"a\": { \"input_cost_per_second\": {} } }",
            format!("line 1, column 36: invalid type: map, {allowed} `input_cost_per_second` of `a`"),
        ),
        (
            "{ \"a\": { \"input_cost_per_token\": 1e999 } }",
            "line 1, column 38: number out of range".to_owned(),
        ),
        (
            "{ \"a\": { \"tiered_pricing\": [{ \"range\": \"all\" }] } }",
            "line 1, column 44: invalid type: string \"all\", expected a tuple of size 2".to_owned(),
        ),
        (
            "{ \"a\": {} } }",
            "line 1, column 13: trailing characters".to_owned(),
        ),
    ] {
        let error = Prices::from_json(json).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("prices cannot be read: {expected}"),
            "{json}"
        );
    }
}

#[test]
fn error_names_the_path() {
    let error = Prices::from_path("/nowhere/prices.json").unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("prices cannot be read from /nowhere/prices.json: "),
        "{text}"
    );
    let folder = Prices::from_path(env!("CARGO_MANIFEST_DIR")).unwrap_err();
    assert!(folder.to_string().ends_with(": it is no regular file"));
}
