//! Why a connection was closed, and whether to come back.

/// What a close code means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// 1000: the end, after `sessionEnded` or a wish to leave. Alone it says nothing, since some
    /// servers close with no other code.
    Finished,
    /// 1000 `superseded`: the member lives on another connection.
    Superseded,
    /// 1001: the connection reached its greatest age, or the server goes.
    GoingAway,
    /// No close frame, or one without a code: the line is dead.
    Lost,
    /// 1002, 1003 or 1007: one of the two broke the WebSocket protocol.
    ProtocolBroken,
    /// 1008: a refusal; audio far too fast for too long.
    Refused,
    /// 1009: a message was too large.
    MessageTooLarge,
    /// 1011: a fault of the server.
    ServerFault,
    /// 1012: the server stops or restarts.
    ServerStops,
    /// 1013: come back later.
    TryLater,
    /// 1013 `slow consumer`: this listener did not read fast enough.
    SlowConsumer,
    /// A code that this version does not know.
    Other(u16),
}

impl CloseReason {
    /// The reason behind a close frame, or its absence.
    pub fn of(code: Option<u16>, reason: &str) -> Self {
        match code {
            Some(1000) if reason == "superseded" => Self::Superseded,
            Some(1000) => Self::Finished,
            Some(1001) => Self::GoingAway,
            None | Some(1005 | 1006) => Self::Lost,
            Some(1002 | 1003 | 1007) => Self::ProtocolBroken,
            Some(1008) => Self::Refused,
            Some(1009) => Self::MessageTooLarge,
            Some(1011) => Self::ServerFault,
            Some(1012) => Self::ServerStops,
            Some(1013) if reason == "slow consumer" => Self::SlowConsumer,
            Some(1013) => Self::TryLater,
            Some(code) => Self::Other(code),
        }
    }

    /// Whether coming back can help.
    pub const fn comes_back(self) -> bool {
        match self {
            Self::Superseded | Self::ProtocolBroken | Self::Refused | Self::MessageTooLarge => {
                false
            }
            Self::Finished
            | Self::GoingAway
            | Self::Lost
            | Self::ServerFault
            | Self::ServerStops
            | Self::TryLater
            | Self::SlowConsumer
            | Self::Other(_) => true,
        }
    }
}

impl std::fmt::Display for CloseReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = match self {
            Self::Finished => "the server closed the connection",
            Self::Superseded => "this member has moved to another connection",
            Self::GoingAway => "the connection reached its greatest age",
            Self::Lost => "the connection was lost",
            Self::ProtocolBroken => "the WebSocket protocol was broken",
            Self::Refused => "the server refused this connection",
            Self::MessageTooLarge => "a message was too large",
            Self::ServerFault => "the server has a fault",
            Self::ServerStops => "the server stops",
            Self::TryLater => "the server asks to come back later",
            Self::SlowConsumer => "this listener did not read fast enough",
            Self::Other(code) => return write!(f, "the server closed with code {code}"),
        };
        f.write_str(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_reason() {
        let cases = [
            (Some(1000), "", CloseReason::Finished, true),
            (Some(1000), "superseded", CloseReason::Superseded, false),
            (Some(1001), "", CloseReason::GoingAway, true),
            (Some(1002), "", CloseReason::ProtocolBroken, false),
            (Some(1003), "", CloseReason::ProtocolBroken, false),
            (Some(1005), "", CloseReason::Lost, true),
            (Some(1006), "", CloseReason::Lost, true),
            (None, "", CloseReason::Lost, true),
            (Some(1007), "", CloseReason::ProtocolBroken, false),
            (Some(1008), "", CloseReason::Refused, false),
            (Some(1009), "", CloseReason::MessageTooLarge, false),
            (Some(1011), "", CloseReason::ServerFault, true),
            (Some(1012), "", CloseReason::ServerStops, true),
            (Some(1013), "", CloseReason::TryLater, true),
            (Some(1013), "slow consumer", CloseReason::SlowConsumer, true),
            (Some(4321), "", CloseReason::Other(4321), true),
        ];
        for (code, text, reason, comes_back) in cases {
            assert_eq!(CloseReason::of(code, text), reason, "{code:?} {text}");
            assert_eq!(reason.comes_back(), comes_back, "{code:?} {text}");
        }
    }
}
