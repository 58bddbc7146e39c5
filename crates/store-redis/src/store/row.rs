//! How sessions and connections are written down, and read back strictly.

use std::collections::HashMap;

use ambo_app::ports::StoreFault;
use ambo_core::{
    Bucket, Connection, ConnectionId, Language, Millis, QualityTier, Role, Secret, Session,
    SessionId, SourceAddress, Speaker, UserId,
};

use crate::fault::malformed;

/// Stands for "none" where a word must be: the speaker's language, a secret nobody was told.
const NONE: &str = "-";

/// A member's row; `scripts/prelude.lua` says which word is which. A row that comes from outside
/// has no turn yet.
pub(super) fn row(connection: &Connection, claim: u64) -> String {
    let Connection { role, source, joined_at, connected_at, seen_at, beats, told, warned, .. } =
        connection;
    let (role, source, told) = (word(*role), hex(source.as_bytes()), secret(told.as_ref()));
    let [joined, connected, seen] = [joined_at.0, connected_at.0, seen_at.0];
    let (beats, warned) = (beats.0, flag(*warned));
    format!("{role} {source} {joined} {connected} {seen} {beats} {told} {warned} {claim} 0")
}

/// The member behind a row.
pub(super) fn connection(
    id: &ConnectionId,
    session: &SessionId,
    row: &str,
) -> Result<Connection, StoreFault> {
    let words: Vec<_> = row.split(' ').collect();
    let [role, source, joined, connected, seen, beats, told, warned, _, _] = words[..] else {
        return Err(malformed("a member's row"));
    };
    Ok(Connection {
        id: id.clone(),
        session: session.clone(),
        role: match role {
            NONE => Role::Speaker,
            target => Role::Listener { target: language(target)? },
        },
        source: SourceAddress::from_bytes(bytes(source)?),
        joined_at: millis(joined)?,
        connected_at: millis(connected)?,
        seen_at: millis(seen)?,
        beats: Bucket(number(beats)?),
        told: if told == NONE { None } else { Some(Secret(bytes(told)?)) },
        warned: is_set(warned)?,
    })
}

/// A session's fields and their values. It begins without listeners.
pub(super) fn fields(session: &Session) -> Vec<String> {
    let (speaker, until) = speaker(&session.speaker);
    [
        ("owner", session.owner.as_str()),
        ("source", session.source_language.as_str()),
        ("quality", session.quality.as_str()),
        ("created", &session.created_at.0.to_string()),
        ("expires", &session.expires_at.0.to_string()),
        ("paused", flag(session.paused)),
        ("muted", flag(session.muted)),
        ("changed", &session.last_state_change.0.to_string()),
        ("speaker", &speaker),
        ("until", &until),
        ("listeners", "0"),
    ]
    .into_iter()
    .flat_map(|(name, value)| [name.to_owned(), value.to_owned()])
    .collect()
}

/// The two fields of a speaker: the connection, empty when it is lost, and until when it is
/// awaited.
pub(super) fn speaker(speaker: &Speaker) -> (String, String) {
    match speaker {
        Speaker::Present(connection) => (connection.as_str().to_owned(), "0".to_owned()),
        Speaker::Lost { until } => (String::new(), until.0.to_string()),
    }
}

/// The session behind its fields.
pub(super) fn session(
    id: &SessionId,
    fields: &HashMap<String, String>,
) -> Result<Session, StoreFault> {
    let of = |name: &str| {
        let value = fields.get(name).map(String::as_str);
        value.ok_or_else(|| malformed(format_args!("a session without {name}")))
    };
    let wrong = |name: &'static str| move || malformed(format_args!("a session's {name}"));
    // Written with every speaker, of use while it is lost.
    let until = millis(of("until")?)?;
    Ok(Session {
        id: id.clone(),
        owner: UserId::parse(of("owner")?).ok_or_else(wrong("owner"))?,
        source_language: language(of("source")?)?,
        quality: QualityTier::parse(of("quality")?).ok_or_else(wrong("quality"))?,
        created_at: millis(of("created")?)?,
        expires_at: millis(of("expires")?)?,
        paused: is_set(of("paused")?)?,
        muted: is_set(of("muted")?)?,
        last_state_change: millis(of("changed")?)?,
        speaker: match of("speaker")? {
            "" => Speaker::Lost { until },
            id => Speaker::Present(ConnectionId::parse(id).ok_or_else(wrong("speaker"))?),
        },
        listeners: of("listeners")?.parse().map_err(|_| malformed("a session's listeners"))?,
    })
}

/// A session's listeners by language, in order.
pub(super) fn languages(
    fields: &HashMap<String, String>,
) -> Result<Vec<(Language, u32)>, StoreFault> {
    let counts = fields.iter().filter_map(|(name, count)| Some((name.strip_prefix("in:")?, count)));
    let mut languages = counts
        .map(|(target, count)| {
            let count = count.parse().map_err(|_| malformed("a count of listeners"))?;
            Ok((language(target)?, count))
        })
        .collect::<Result<Vec<_>, _>>()?;
    languages.sort_unstable();
    Ok(languages)
}

/// A member's role as its row has it.
pub(super) fn word(role: Role) -> String {
    role.target().map_or_else(|| NONE.to_owned(), |target| target.as_str().to_owned())
}

pub(super) fn secret(secret: Option<&Secret>) -> String {
    secret.map_or_else(|| NONE.to_owned(), |secret| hex(&secret.0))
}

pub(super) const fn flag(is_set: bool) -> &'static str {
    if is_set { "1" } else { "0" }
}

pub(super) fn hex(bytes: &[u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(*bytes))
}

pub(super) fn connection_id(text: &str) -> Result<ConnectionId, StoreFault> {
    ConnectionId::parse(text).ok_or_else(|| malformed("a connection's id"))
}

pub(super) fn session_id(text: &str) -> Result<SessionId, StoreFault> {
    SessionId::parse(text).ok_or_else(|| malformed("a session's id"))
}

pub(super) fn millis(text: &str) -> Result<Millis, StoreFault> {
    number(text).map(Millis)
}

pub(super) fn number(text: &str) -> Result<u64, StoreFault> {
    text.parse().map_err(|_| malformed("a number"))
}

fn language(text: &str) -> Result<Language, StoreFault> {
    Language::parse(text).ok_or_else(|| malformed("a language"))
}

fn bytes(text: &str) -> Result<[u8; 16], StoreFault> {
    let number = u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32);
    number.map(u128::to_be_bytes).ok_or_else(|| malformed("sixteen bytes"))
}

fn is_set(text: &str) -> Result<bool, StoreFault> {
    match text {
        "0" => Ok(false),
        "1" => Ok(true),
        _ => Err(malformed("a flag")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ambo_app::ports::FaultKind;
    use proptest::prelude::*;

    fn id() -> SessionId {
        SessionId::parse("faithful-shepherd-427").unwrap()
    }

    fn millis() -> impl Strategy<Value = Millis> {
        any::<u64>().prop_map(Millis)
    }

    fn role() -> impl Strategy<Value = Role> {
        let target = "[a-z]{2}".prop_map(|target| Language::parse(&target).unwrap());
        prop_oneof![Just(Role::Speaker), target.prop_map(|target| Role::Listener { target })]
    }

    prop_compose! {
        fn connections()(
            name in "[!-~]{1,128}", role in role(), source in any::<[u8; 16]>(),
            times in (millis(), millis(), millis()), beats in any::<u64>(),
            told in proptest::option::of(any::<[u8; 16]>()), warned in any::<bool>(),
        ) -> Connection {
            Connection {
                id: ConnectionId::parse(&name).unwrap(),
                session: id(),
                role,
                source: SourceAddress::from_bytes(source),
                joined_at: times.0,
                connected_at: times.1,
                seen_at: times.2,
                beats: Bucket(beats),
                told: told.map(Secret),
                warned,
            }
        }
    }

    proptest! {
        #[test]
        fn a_row_is_read_as_it_was_written(member in connections(), claim in any::<u64>()) {
            let row = row(&member, claim);
            prop_assert_eq!(connection(&member.id, &member.session, &row).unwrap(), member);
        }

        #[test]
        fn what_is_no_row_is_a_fault_and_no_panic(text in "[-a-z0-9 ]{0,90}") {
            let of = ConnectionId::parse("a").unwrap();
            if let Err(fault) = connection(&of, &id(), &text) {
                prop_assert_eq!(fault.kind, FaultKind::Broken);
            }
        }
    }

    #[test]
    fn a_session_is_read_as_it_was_written() {
        let present = Speaker::Present(ConnectionId::parse("n.1").unwrap());
        for speaker in [present, Speaker::Lost { until: Millis(u64::MAX) }] {
            let written = Session {
                id: id(),
                owner: UserId::parse("ann with spaces, and ü").unwrap(),
                source_language: Language::parse("en").unwrap(),
                quality: QualityTier::Premium,
                created_at: Millis(1),
                expires_at: Millis(2),
                paused: true,
                muted: false,
                last_state_change: Millis(3),
                speaker,
                listeners: 0,
            };
            let fields = fields(&written);
            let mut fields: HashMap<_, _> =
                fields.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
            assert_eq!(session(&id(), &fields).unwrap(), written);
            assert_eq!(languages(&fields).unwrap(), []);
            for name in fields.clone().into_keys() {
                let kept = fields.remove(&name).unwrap();
                assert_eq!(session(&id(), &fields).unwrap_err().kind, FaultKind::Broken, "{name}");
                fields.insert(name, kept);
            }
        }
    }
}
