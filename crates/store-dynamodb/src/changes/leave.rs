//! A listener's member goes and is counted off.

use ambo_core::{ConnectionId, SessionId};

use super::{Plan, retune};
use crate::look::Look;
use crate::tally::Tally;
use crate::write::{Table, Write};

pub(super) fn sighted(connection: &ConnectionId, session: &SessionId, look: &Look) -> Plan {
    let listener = look.listener(connection, session);
    let Some(was) = listener.and_then(|listener| listener.role.target()) else {
        return Plan::DONE;
    };
    let removal = Write::delete(Table::Connections, connection.as_str());
    Plan::Write(vec![
        retune::pinned(removal, session, was),
        Tally::default().leave(was).write(session),
    ])
}
