//! Every JSON message of the server that a test sees is held against the contract's schema.

use std::sync::LazyLock;

use serde_json::Value;

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let text = include_str!("../../../../protocol/messages.schema.json");
    serde_json::from_str(text).unwrap()
});

/// Holds that exactly one definition suits a message of the server, and that it has no field
/// which the contract does not name.
pub fn check_message(message: &Value) {
    let union = SCHEMA["$defs"]["serverMessage"]["oneOf"].as_array().unwrap();
    let suits = |rule: &&Value| {
        let expected = &definition(rule)["properties"]["type"]["const"];
        *expected == message["type"]
    };
    let problems: Vec<_> = union
        .iter()
        .filter(suits)
        .map(|rule| problem(rule, message).or_else(|| unknown_field(definition(rule), message)))
        .collect();
    let right = problems.iter().filter(|problem| problem.is_none()).count();
    assert_eq!(right, 1, "{message} is not in the contract: {problems:?}");
}

/// The same for the JSON body of a refused handshake.
pub fn check_refusal(body: &Value) {
    let rule = &SCHEMA["$defs"]["refusal"];
    let problem = problem(rule, body).or_else(|| unknown_field(rule, body));
    assert_eq!(problem, None, "{body} is not in the contract");
}

fn definition(rule: &Value) -> &Value {
    let Some(reference) = rule["$ref"].as_str() else { return rule };
    &SCHEMA["$defs"][reference.rsplit('/').next().unwrap()]
}

fn unknown_field(rule: &Value, value: &Value) -> Option<String> {
    let known = rule["properties"].as_object()?;
    let unknown = value.as_object()?.keys().find(|name| !known.contains_key(*name))?;
    Some(format!("{unknown} is unknown"))
}

/// What is wrong with a value, as far as the keywords go that our schema uses.
fn problem(rule: &Value, value: &Value) -> Option<String> {
    let keywords = rule.as_object().unwrap();
    keywords.iter().find_map(|(keyword, argument)| {
        let is_right = match keyword.as_str() {
            "description" | "default" | "contentEncoding" => true,
            "then" => true,
            "$ref" => return problem(definition(rule), value),
            "allOf" => return argument.as_array()?.iter().find_map(|rule| problem(rule, value)),
            "if" if problem(argument, value).is_none() => return problem(&rule["then"], value),
            "if" => true,
            "properties" => return in_properties(argument, value),
            "propertyNames" => {
                let mut names = value.as_object()?.keys();
                return names.find_map(|name| problem(argument, &Value::from(name.as_str())));
            }
            "additionalProperties" => {
                return value.as_object()?.values().find_map(|value| problem(argument, value));
            }
            _ => is_right(keyword, argument, value),
        };
        (!is_right).then(|| format!("{value} is against {keyword} {argument}"))
    })
}

fn in_properties(rules: &Value, value: &Value) -> Option<String> {
    let object = value.as_object()?;
    let rules = rules.as_object().unwrap();
    rules.iter().find_map(|(name, rule)| {
        let found = problem(rule, object.get(name)?)?;
        Some(format!("{name}: {found}"))
    })
}

fn is_right(keyword: &str, argument: &Value, value: &Value) -> bool {
    let length = || value.as_str().map_or(0, |text| text.chars().count() as u64);
    match keyword {
        "type" => is_of_type(argument.as_str().unwrap(), value),
        "const" => argument == value,
        "enum" => argument.as_array().unwrap().contains(value),
        "required" => {
            let mut names = argument.as_array().unwrap().iter().filter_map(Value::as_str);
            names.all(|name| value.get(name).is_some())
        }
        "minimum" => value.as_f64() >= argument.as_f64(),
        "maximum" => value.as_f64() <= argument.as_f64(),
        "minLength" => length() >= argument.as_u64().unwrap(),
        "maxLength" => length() <= argument.as_u64().unwrap(),
        "pattern" => matches(argument.as_str().unwrap(), value.as_str().unwrap_or_default()),
        other => panic!("the check does not know {other}"),
    }
}

fn is_of_type(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        other => panic!("the check does not know type {other}"),
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    let is_word =
        |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    match pattern {
        "^[a-z]{2}$" => text.len() == 2 && is_word(text),
        "^[a-z]+-[a-z]+-[1-9][0-9]{2}$" => {
            let parts: Vec<_> = text.split('-').collect();
            let [first, second, number] = parts[..] else { return false };
            let is_number = number.parse().is_ok_and(|number: u32| (100..1_000).contains(&number));
            is_word(first) && is_word(second) && number.len() == 3 && is_number
        }
        other => panic!("the check does not know pattern {other}"),
    }
}
