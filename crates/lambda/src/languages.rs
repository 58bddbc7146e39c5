//! Which languages can be spoken and heard: what Amazon Translate translates, and for hearing,
//! what Amazon Polly has a neural voice for.
//!
//! The services are asked once a day, when a message was dealt with and nobody waits: Lambda stops
//! whatever is under way when a function has answered. Until they have answered, what they said
//! last holds, and before that the table below. There is always a set, and never "anything".

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ambo_core::{Language, Languages, Millis};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::aws::{Answer, Aws, Call, CallError};
use crate::chain::chain;

/// How long an answer is good.
const KEPT: Millis = Millis::from_mins(24 * 60);
/// After a failure, the services are left alone for so long.
const TRY_AGAIN: Millis = Millis::from_mins(5);
/// How long all pages of both may take. A small function needs some of it to connect to each.
const ASKING_LIMIT: Duration = Duration::from_secs(3);
/// The most pages read of one list; each has some hundred entries.
const MAX_PAGES: usize = 20;

/// What Amazon Translate translates, as its guide listed it on 2026-11-27
/// (docs.aws.amazon.com/translate/latest/dg/what-is-languages.html), countries left out.
const TRANSLATED: &str = "af am ar az bg bn bs ca cs cy da de el en es et fa fi fr ga gu ha he hi \
    hr ht hu hy id is it ja ka kk kn ko lt lv mk ml mn mr ms mt nl no pa pl ps pt ro ru si sk sl \
    so sq sr sv sw ta te th tl tr uk ur uz vi zh";
/// What Amazon Polly had neural voices for on the same day
/// (docs.aws.amazon.com/polly/latest/dg/neural-voices.html), by the same names.
const VOICED: &str = "ar ca cs da de en es fi fr hi it ja ko nl no pl pt sv tr zh";

/// Where the services are.
#[derive(Clone)]
pub(crate) struct Sources {
    pub(crate) translate: String,
    pub(crate) polly: String,
}

/// Knows the languages.
pub(crate) struct LanguageDesk {
    aws: Arc<Aws>,
    sources: Sources,
    ask_at: Mutex<Millis>,
}

/// Why the services did not say which languages there are.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("it took longer than {} ms", ASKING_LIMIT.as_millis())]
    TooSlow,
    #[error("the services cannot be reached")]
    Call(#[from] CallError),
    #[error("{service} answered with status {status}")]
    Status { service: &'static str, status: u16 },
    #[error("{0} did not send a list")]
    Malformed(&'static str),
    #[error("no language is left")]
    Empty,
}

/// The languages of the table above.
pub(crate) fn known() -> Languages {
    set(&codes(TRANSLATED.split(' ')), &codes(VOICED.split(' ')))
}

impl LanguageDesk {
    pub(crate) fn new(aws: Arc<Aws>, sources: Sources) -> Self {
        Self { aws, sources, ask_at: Mutex::default() }
    }

    /// Asks, where it is time to; what was answered.
    pub(crate) async fn ask(&self, now: Millis) -> Option<Languages> {
        {
            let mut ask_at = self.ask_at.lock();
            if now < *ask_at {
                return None;
            }
            *ask_at = now + TRY_AGAIN;
        }
        let asked = tokio::time::timeout(ASKING_LIMIT, ask(&self.aws, &self.sources)).await;
        match asked.unwrap_or(Err(AskError::TooSlow)) {
            Ok(languages) => {
                *self.ask_at.lock() = now + KEPT;
                Some(languages)
            }
            Err(error) => {
                tracing::warn!(
                    component = "languages",
                    operation = "ask",
                    error = chain(&error),
                    "what was known of languages before still holds"
                );
                None
            }
        }
    }
}

async fn ask(aws: &Aws, sources: &Sources) -> Result<Languages, AskError> {
    let (translated, voiced) =
        futures_util::future::try_join(translated(aws, sources), voiced(aws, sources)).await?;
    let is_empty = translated.is_empty() || voiced.is_disjoint(&translated);
    if is_empty { Err(AskError::Empty) } else { Ok(set(&translated, &voiced)) }
}

fn set(translated: &BTreeSet<Language>, voiced: &BTreeSet<Language>) -> Languages {
    let targets = voiced.intersection(translated).copied().collect();
    Languages::new(translated.iter().copied().collect(), targets)
}

async fn translated(aws: &Aws, sources: &Sources) -> Result<BTreeSet<Language>, AskError> {
    let headers = &[
        ("content-type", "application/x-amz-json-1.1"),
        ("x-amz-target", "AWSShineFrontendService_20170701.ListLanguages"),
    ];
    let url = format!("{}/", sources.translate);
    let mut all = BTreeSet::new();
    let mut next = None;
    for _ in 0..MAX_PAGES {
        let body = json!({ "MaxResults": 500, "NextToken": next }).to_string().into_bytes();
        let (service, method, limit) = ("translate", "POST", ASKING_LIMIT);
        let call = Call { service, method, url: &url, headers, body: &body, limit };
        let page = page("translate", aws.send(call).await?)?;
        all.extend(listed("translate", &page["Languages"])?);
        next = page["NextToken"].as_str().map(str::to_owned);
        if next.is_none() {
            return Ok(all);
        }
    }
    Err(AskError::Malformed("translate"))
}

async fn voiced(aws: &Aws, sources: &Sources) -> Result<BTreeSet<Language>, AskError> {
    let mut all = BTreeSet::new();
    let mut next: Option<String> = None;
    for _ in 0..MAX_PAGES {
        let url = format!("{}/v1/voices?{}", sources.polly, neural(next.as_deref()));
        let (service, method, limit) = ("polly", "GET", ASKING_LIMIT);
        let call = Call { service, method, url: &url, headers: &[], body: &[], limit };
        let page = page("polly", aws.send(call).await?)?;
        all.extend(listed("polly", &page["Voices"])?);
        next = page["NextToken"].as_str().map(str::to_owned);
        if next.is_none() {
            return Ok(all);
        }
    }
    Err(AskError::Malformed("polly"))
}

/// The query for the page of neural voices behind this token.
fn neural(token: Option<&str>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("Engine", "neural");
    if let Some(token) = token {
        query.append_pair("NextToken", token);
    }
    query.finish()
}

fn page(service: &'static str, answer: Answer) -> Result<Value, AskError> {
    if answer.status != 200 {
        return Err(AskError::Status { service, status: answer.status });
    }
    serde_json::from_slice(&answer.body).map_err(|_| AskError::Malformed(service))
}

fn listed(service: &'static str, list: &Value) -> Result<BTreeSet<Language>, AskError> {
    let list = list.as_array().ok_or(AskError::Malformed(service))?;
    // Some voices speak more than one: the only neural one for Hindi is listed as Indian English.
    let more = list.iter().filter_map(|entry| entry["AdditionalLanguageCodes"].as_array());
    let all = list.iter().map(|entry| &entry["LanguageCode"]).chain(more.flatten());
    Ok(codes(all.filter_map(Value::as_str)))
}

fn codes<'a>(codes: impl Iterator<Item = &'a str>) -> BTreeSet<Language> {
    codes.filter_map(code).collect()
}

/// The ISO 639-1 code behind a service's own; `None` where there is none, as for Cantonese.
fn code(text: &str) -> Option<Language> {
    let language = text.split('-').next().unwrap_or_default();
    Language::parse(match language {
        "cmn" => "zh",
        "arb" => "ar",
        "nb" | "nn" => "no",
        "fil" => "tl",
        "iw" => "he",
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Language {
        Language::parse(text).unwrap()
    }

    #[test]
    fn the_services_codes_are_read_as_ours() {
        let cases = [
            ("en-GB", Some("en")),
            ("cmn-CN", Some("zh")),
            ("zh-TW", Some("zh")),
            ("arb", Some("ar")),
            ("ar-AE", Some("ar")),
            ("nb-NO", Some("no")),
            ("no", Some("no")),
            ("fa-AF", Some("fa")),
            ("yue-CN", None),
            ("auto", None),
            ("", None),
            ("-", None),
        ];
        for (given, expected) in cases {
            assert_eq!(code(given), expected.map(parse), "{given:?}");
        }
    }

    #[test]
    fn the_table_has_what_the_guides_list() {
        let (translated, voiced) = (codes(TRANSLATED.split(' ')), codes(VOICED.split(' ')));
        assert_eq!((translated.len(), voiced.len()), (70, 20));
        assert!(voiced.is_subset(&translated));
        let known = known();
        let (en, sw, yi) = (parse("en"), parse("sw"), parse("yi"));
        assert!(known.has_source(sw) && !known.has_source(yi));
        assert!(known.has_target(parse("zh"), en) && !known.has_target(sw, en));
        assert!(known.has_target(sw, sw), "the floor can always be heard");
    }
}
