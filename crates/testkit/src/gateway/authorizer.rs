//! Whether a handshake may go on to `$connect`.

use serde_json::{Map, Value};

use super::event::{self, Caller, Handshake};
use super::plan::Authorizer;
use super::{Failure, INTEGRATION_TIMEOUT, Shared};

/// An authorizer's answer is at most so long.
const MAX_ANSWER_BYTES: usize = 8 * 1024;

/// What later events hold under `authorizer`, or the status of the refusal.
pub(super) async fn ask(
    authorizer: &Authorizer,
    caller: &Caller,
    handshake: &Handshake,
    shared: &Shared,
) -> Result<Map<String, Value>, u16> {
    let is_there = |source: &String| is_given(source, handshake);
    if !authorizer.identity_sources.iter().all(is_there) {
        return Err(401);
    }
    let pool = shared.function(&authorizer.function).ok_or(500_u16)?;
    match pool.invoke(&event::authorize(caller, handshake), INTEGRATION_TIMEOUT).await {
        Ok(answer) => judge(&answer, &event::method_arn(&caller.stage)),
        Err(Failure::Error { message, .. }) if message == "Unauthorized" => Err(401),
        Err(_) => Err(500),
    }
}

fn is_given(source: &str, handshake: &Handshake) -> bool {
    let has = |pairs: &[(String, String)], wanted: &str| {
        pairs.iter().any(|(name, value)| name == wanted && !value.is_empty())
    };
    match source.strip_prefix("route.request.") {
        Some(rest) => match rest.split_once('.') {
            Some(("querystring", name)) => has(&handshake.query, name),
            Some(("header", name)) => has(&handshake.headers, name),
            _ => panic!("{source} is no identity source"),
        },
        None => panic!("{source} is no identity source"),
    }
}

/// Reads an answer: a principal, a policy that allows the method, and a context of scalars.
fn judge(answer: &Value, method_arn: &str) -> Result<Map<String, Value>, u16> {
    let principal = answer["principalId"].as_str().ok_or(500_u16)?;
    if answer.to_string().len() > MAX_ANSWER_BYTES {
        return Err(500);
    }
    if !is_allowed(&answer["policyDocument"]["Statement"], method_arn).ok_or(500_u16)? {
        return Err(403);
    }
    let mut context = Map::new();
    for (name, value) in answer["context"].as_object().into_iter().flatten() {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            Value::Null => continue,
            Value::Array(_) | Value::Object(_) => return Err(500),
        };
        context.insert(name.clone(), text.into());
    }
    context.insert("principalId".to_owned(), principal.into());
    Ok(context)
}

/// Whether a policy allows the method: some statement does and none denies it.
fn is_allowed(statements: &Value, method_arn: &str) -> Option<bool> {
    let mut is_allowed = false;
    for statement in one_or_many(statements) {
        let suits = |field: &str, wanted: &str| {
            one_or_many(&statement[field])
                .iter()
                .any(|pattern| pattern.as_str().is_some_and(|pattern| matches(pattern, wanted)))
        };
        let applies = suits("Action", "execute-api:Invoke") && suits("Resource", method_arn);
        match statement["Effect"].as_str()? {
            "Allow" => is_allowed |= applies,
            "Deny" if applies => return Some(false),
            "Deny" => {}
            _ => return None,
        }
    }
    Some(is_allowed)
}

fn one_or_many(value: &Value) -> &[Value] {
    match value {
        Value::Array(values) => values,
        Value::Null => &[],
        one => std::slice::from_ref(one),
    }
}

/// Whether a pattern with `*` and `?` suits a text.
fn matches(pattern: &str, text: &str) -> bool {
    let mut letters = pattern.chars();
    match letters.next() {
        None => text.is_empty(),
        Some('*') => {
            let rest = letters.as_str();
            text.char_indices().any(|(at, _)| matches(rest, &text[at..])) || matches(rest, "")
        }
        Some(letter) => {
            let mut others = text.chars();
            let other = others.next();
            other.is_some_and(|other| letter == '?' || letter == other)
                && matches(letters.as_str(), others.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ARN: &str = "arn:aws:execute-api:us-east-1:123456789012:a1b2c3d4e5/prod/$connect";

    fn policy(statement: Value) -> Value {
        json!({ "principalId": "ann", "policyDocument": { "Statement": statement } })
    }

    #[test]
    fn a_policy_is_read_as_iam_does() {
        let action = "execute-api:Invoke";
        let allow = |to: &str| json!({"Effect": "Allow", "Action": action, "Resource": to});
        let deny = json!({"Effect": "Deny", "Action": "*", "Resource": [ARN]});
        for (statement, expected) in [
            (json!([allow(ARN)]), Ok(())),
            (allow("arn:aws:execute-api:*:*:a1b2c3d4e5/*/$connect"), Ok(())),
            (json!([allow("arn:aws:execute-api:*:*:?1b2c3d4e5/*")]), Ok(())),
            (json!([allow("arn:aws:execute-api:*:*:a1b2c3d4e5/dev/*")]), Err(403)),
            (json!([allow("*"), deny]), Err(403)),
            (json!([]), Err(403)),
            (json!([{"Effect": "Perhaps"}]), Err(500)),
        ] {
            assert_eq!(judge(&policy(statement.clone()), ARN).map(|_| ()), expected, "{statement}");
        }
    }

    #[test]
    fn a_context_is_made_of_strings() {
        let mut answer =
            policy(json!({"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "*"}));
        answer["context"] = json!({ "a": "text", "b": 5, "c": true, "d": null });
        let expected = json!({ "a": "text", "b": "5", "c": "true", "principalId": "ann" });
        assert_eq!(Value::from(judge(&answer, ARN).unwrap()), expected);
        answer["context"]["e"] = json!([1]);
        assert_eq!(judge(&answer, ARN), Err(500));
        answer["context"] = json!({ "long": "x".repeat(MAX_ANSWER_BYTES) });
        assert_eq!(judge(&answer, ARN), Err(500));
        assert_eq!(judge(&json!({}), ARN), Err(500));
    }
}
