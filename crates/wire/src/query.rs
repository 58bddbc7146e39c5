//! The query string of a new connection.

use std::borrow::Cow;

use ambo_core::event::Token;
use ambo_core::{Intent, Refusal};

use crate::parameters::{self, Parameters};

/// What a new connection asks for.
#[derive(Clone, Debug)]
pub struct Connecting {
    /// What is asked, or why that could not be understood.
    pub intent: Intent,
    /// The token that came with it, from the query or else from the `Authorization` header.
    pub token: Option<Token>,
}

impl Connecting {
    /// Reads a query string, without its question mark, and the `Authorization` header's value.
    pub fn parse(query: &str, authorization: Option<&str>) -> Self {
        let pairs = Pairs(form_urlencoded::parse(query.as_bytes()).collect());
        let token = parameters::token(&pairs).ok().flatten().or_else(|| bearer(authorization));
        Self { intent: intent(&pairs), token }
    }
}

fn intent(pairs: &Pairs<'_>) -> Intent {
    match pairs.text("action")?.as_deref() {
        Some("createSession") => parameters::create(pairs),
        Some("joinSession") => parameters::join(pairs),
        Some("refreshConnection") => parameters::refresh(pairs),
        Some(_) | None => Err(Refusal::InvalidAction),
    }
}

fn bearer(authorization: Option<&str>) -> Option<Token> {
    let (scheme, token) = authorization?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| Token(token.into()))
}

/// Decoded pairs in their order. Where a name stands twice the first counts.
struct Pairs<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl Parameters for Pairs<'_> {
    fn text(&self, name: &'static str) -> Result<Option<Cow<'_, str>>, Refusal> {
        let pair = self.0.iter().find(|(key, _)| key == name);
        Ok(pair.map(|(_, value)| Cow::Borrowed(&**value)).filter(|value| !value.is_empty()))
    }
}

/// The same from the client's side. Prints nothing of its token.
#[derive(Clone, PartialEq, Eq)]
pub enum ConnectQuery {
    /// Make a session.
    Create {
        /// The speaker's token.
        token: String,
        /// The speaker's language.
        source_language: String,
        /// `standard` or `premium`.
        quality_tier: String,
    },
    /// Join one.
    Join {
        /// Its id.
        session_id: String,
        /// The language to hear.
        target_language: String,
    },
    /// Go on as its speaker.
    RefreshSpeaker {
        /// The speaker's token.
        token: String,
        /// Its id.
        session_id: String,
    },
    /// Go on as one of its listeners.
    RefreshListener {
        /// Its id.
        session_id: String,
        /// The language to hear.
        target_language: String,
        /// What the server gave with its request to refresh.
        refresh_token: Option<String>,
        /// The last frame heard.
        last_sequence: Option<u32>,
    },
}

impl ConnectQuery {
    /// The query string, without a question mark.
    pub fn encode(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        match self {
            Self::Create { token, source_language, quality_tier } => {
                query.append_pair("action", "createSession");
                query.append_pair("token", token);
                query.append_pair("sourceLanguage", source_language);
                query.append_pair("qualityTier", quality_tier);
            }
            Self::Join { session_id, target_language } => {
                query.append_pair("action", "joinSession");
                query.append_pair("sessionId", session_id);
                query.append_pair("targetLanguage", target_language);
            }
            Self::RefreshSpeaker { token, session_id } => {
                query.append_pair("action", "refreshConnection");
                query.append_pair("role", "speaker");
                query.append_pair("token", token);
                query.append_pair("sessionId", session_id);
            }
            Self::RefreshListener { session_id, target_language, refresh_token, last_sequence } => {
                query.append_pair("action", "refreshConnection");
                query.append_pair("role", "listener");
                query.append_pair("sessionId", session_id);
                query.append_pair("targetLanguage", target_language);
                if let Some(token) = refresh_token {
                    query.append_pair("refreshToken", token);
                }
                if let Some(sequence) = last_sequence {
                    query.append_pair("lastSequence", &sequence.to_string());
                }
            }
        }
        query.finish()
    }
}

impl std::fmt::Debug for ConnectQuery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Create { .. } => "ConnectQuery::Create",
            Self::Join { .. } => "ConnectQuery::Join",
            Self::RefreshSpeaker { .. } => "ConnectQuery::RefreshSpeaker",
            Self::RefreshListener { .. } => "ConnectQuery::RefreshListener",
        })
    }
}

#[cfg(test)]
mod tests {
    use ambo_core::{Event, Language, QualityTier, SessionId};

    use super::*;

    const ID: &str = "sessionId=faithful-shepherd-427";

    fn code(query: &str) -> (&'static str, Option<&'static str>) {
        match Connecting::parse(query, None).intent {
            Ok(event) => (event.name(), None),
            Err(Refusal::InvalidParameters { field, .. }) => ("INVALID_PARAMETERS", Some(field)),
            Err(refusal) => (refusal.code(), None),
        }
    }

    #[test]
    fn each_action_is_read_or_refused_by_name() {
        let refresh = format!("action=refreshConnection&{ID}");
        let listener = format!("{refresh}&role=listener&targetLanguage=es");
        let bad = "INVALID_PARAMETERS";
        let cases = [
            ("", ("INVALID_ACTION", None)),
            ("action=", ("INVALID_ACTION", None)),
            ("action=joinsession", ("INVALID_ACTION", None)),
            ("action=heartbeat", ("INVALID_ACTION", None)),
            ("action=createSession", (bad, Some("sourceLanguage"))),
            ("action=createSession&sourceLanguage=EN", (bad, Some("sourceLanguage"))),
            ("action=createSession&sourceLanguage=en&qualityTier=gold", (bad, Some("qualityTier"))),
            ("action=createSession&sourceLanguage=en&qualityTier=", ("createSession", None)),
            ("action=createSession&sourceLanguage=en", ("createSession", None)),
            ("action=createSession&sourceLanguage=%65%6e", ("createSession", None)),
            ("action=joinSession", (bad, Some("sessionId"))),
            ("action=joinSession&sessionId=x&targetLanguage=es", ("INVALID_SESSION_ID", None)),
            (&format!("action=joinSession&{ID}"), (bad, Some("targetLanguage"))),
            (&format!("action=joinSession&{ID}&targetLanguage=spa"), (bad, Some("targetLanguage"))),
            (&format!("action=joinSession&{ID}&targetLanguage=es"), ("joinSession", None)),
            (&refresh, (bad, Some("role"))),
            (&format!("{refresh}&role=king"), (bad, Some("role"))),
            (&format!("{refresh}&role=speaker"), ("refreshConnection", None)),
            (&format!("{refresh}&role=listener"), (bad, Some("targetLanguage"))),
            (&listener, ("refreshConnection", None)),
            (&format!("{listener}&lastSequence=x"), (bad, Some("lastSequence"))),
            (&format!("{listener}&lastSequence=-1"), (bad, Some("lastSequence"))),
            (&format!("{listener}&lastSequence=4294967296"), (bad, Some("lastSequence"))),
            (&format!("{listener}&refreshToken=x"), (bad, Some("refreshToken"))),
        ];
        for (query, expected) in cases {
            assert_eq!(code(query), expected, "{query}");
        }
    }

    #[test]
    fn a_malformed_session_id_is_shown_back_cut() {
        let query = format!("action=joinSession&targetLanguage=es&sessionId={}", "é".repeat(200));
        let Err(Refusal::InvalidSessionId { given }) = Connecting::parse(&query, None).intent
        else {
            panic!()
        };
        assert_eq!(given, "é".repeat(64));
    }

    #[test]
    fn the_token_comes_from_the_query_or_the_header() {
        let token =
            |query, header| Connecting::parse(query, header).token.map(|token| token.0.to_string());
        assert_eq!(token("token=a%2Bb", None).as_deref(), Some("a+b"));
        assert_eq!(token("", Some("Bearer abc")).as_deref(), Some("abc"));
        assert_eq!(token("", Some("bearer  abc ")).as_deref(), Some("abc"));
        assert_eq!(token("token=q", Some("Bearer h")).as_deref(), Some("q"));
        for header in ["Basic abc", "Bearer", "Bearer ", "abc"] {
            assert_eq!(token("", Some(header)), None, "{header}");
        }
    }

    #[test]
    fn what_a_client_writes_the_server_reads() {
        let session = SessionId::parse("faithful-shepherd-427").unwrap();
        let (en, es) = (Language::parse("en").unwrap(), Language::parse("es").unwrap());
        let session_id = session.to_string();
        let create = ConnectQuery::Create {
            token: "a.b+c/=".into(),
            source_language: "en".into(),
            quality_tier: "premium".into(),
        };
        let read = Connecting::parse(&create.encode(), None);
        let quality = QualityTier::Premium;
        assert_eq!(read.intent, Ok(Event::Create { source_language: en, quality }));
        assert_eq!(read.token.unwrap().0.as_ref(), "a.b+c/=");
        let refresh = ConnectQuery::RefreshListener {
            session_id,
            target_language: "es".into(),
            refresh_token: Some(format!("{}.c=", "0".repeat(32))),
            last_sequence: Some(7),
        };
        let Ok(Event::RefreshListener { target, token, last_sequence, .. }) =
            Connecting::parse(&refresh.encode(), None).intent
        else {
            panic!()
        };
        assert_eq!((target, last_sequence), (es, Some(7)));
        assert_eq!(token.unwrap().connection.as_str(), "c=");
    }
}
