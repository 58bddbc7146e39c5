//! What a change does to a session's counts: of its listeners, and by language.

use std::collections::BTreeMap;

use ambo_core::{Language, SessionId};

use crate::rows::{ACTIVE, number, text};
use crate::write::{Table, Write};

/// Who comes, goes and changes language.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    listeners: i32,
    languages: BTreeMap<Language, i32>,
}

impl Tally {
    /// One listener more.
    pub(crate) fn enter(mut self, language: Language) -> Self {
        self.listeners += 1;
        *self.languages.entry(language).or_default() += 1;
        self
    }

    /// One listener less.
    pub(crate) fn leave(mut self, language: Language) -> Self {
        self.listeners -= 1;
        *self.languages.entry(language).or_default() -= 1;
        self
    }

    /// The write on the session's row, which must not have ended.
    pub(crate) fn write(self, session: &SessionId) -> Write {
        let changed = self.languages.into_iter().filter(|(_, by)| *by != 0);
        let (mut sets, mut values) = (Vec::new(), Vec::new());
        if self.listeners != 0 {
            sets.push("#listenerCount = #listenerCount + :listeners".to_owned());
            values.push((":listeners".to_owned(), number(self.listeners)));
        }
        for (code, by) in changed {
            let count = format!("#languages.#{code}");
            sets.push(format!("{count} = if_not_exists({count}, :none) + :{code}"));
            values.push((format!(":{code}"), number(by)));
        }
        let write = if sets.is_empty() {
            Write::check(Table::Sessions, session.as_str())
        } else {
            let expression = format!("SET {}", sets.join(", "));
            Write::update(Table::Sessions, session.as_str(), expression).with(":none", number(0))
        };
        let write = write.when("#status = :active").with(":active", text(ACTIVE));
        values.into_iter().fold(write, |write, (name, value)| write.with(&name, value))
    }
}
