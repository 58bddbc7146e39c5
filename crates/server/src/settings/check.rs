//! How settings must fit together.

use std::path::Path;

use ambo_core::Words;

use super::problem::Problem;
use super::sources::Given;
use super::table::Settings;

/// Bytes that the JSON around an audio payload may take.
const ENVELOPE: usize = 1_024;

/// Every check; what has already a problem is not blamed again.
pub(super) fn all(mut settings: Settings, given: &Given, problems: &mut Vec<Problem>) -> Settings {
    let mut found = Vec::new();
    let mut check = Check { given, known: problems, found: &mut found };
    check.times(&settings);
    check.sizes(&settings);
    check.identity(&settings);
    check.tls(&settings);
    check.admin(&settings);
    if let Some(words) = check.words(&settings) {
        settings.words = words;
    }
    problems.append(&mut found);
    settings
}

struct Check<'a> {
    given: &'a Given,
    known: &'a [Problem],
    found: &'a mut Vec<Problem>,
}

impl Check<'_> {
    fn blame(&mut self, name: &str, right: String) {
        if !self.is_known(name) {
            self.found.push(self.given.problem(name, right));
        }
    }

    fn is_known(&self, name: &str) -> bool {
        self.known.iter().any(|problem| problem.setting == name)
    }

    /// Refresh, warning and end come in this order, and a ping before the silence is too long;
    /// whatever is off is left out.
    fn times(&mut self, s: &Settings) {
        let ages = [
            ("connection_refresh", s.connection_refresh),
            ("connection_warning", s.connection_warning),
            ("connection_max_duration", s.connection_max_duration),
        ];
        let beats = [
            ("heartbeat_interval", s.heartbeat_interval),
            ("heartbeat_timeout", s.heartbeat_timeout),
        ];
        for order in [&ages[..], &beats[..]] {
            let on = order.iter().filter(|(name, span)| !span.is_zero() && !self.is_known(name));
            let on: Vec<_> = on.collect();
            for pair in on.windows(2) {
                if pair[0].1 >= pair[1].1 {
                    let right = format!("must be less than {}", self.shown(pair[1].0));
                    self.blame(pair[0].0, right);
                }
            }
        }
    }

    fn sizes(&mut self, s: &Settings) {
        let audio = s.max_audio_size.div_ceil(3) * 4 + ENVELOPE;
        for (name, least) in [("max_audio_size", audio), ("max_control_size", s.max_control_size)] {
            if s.max_message_size < least && !self.is_known(name) {
                let for_what = self.shown(name);
                let right = format!("must be at least {least} bytes, for {for_what}");
                self.blame("max_message_size", right);
            }
        }
    }

    fn identity(&mut self, s: &Settings) {
        if s.oidc_issuer.is_some() && s.oidc_audience.is_empty() {
            self.blame("oidc_issuer", "needs oidc_audience to be set too".to_owned());
        }
        if s.oidc_issuer.is_none() && !self.is_known("oidc_issuer") {
            for (name, is_set) in [
                ("oidc_audience", !s.oidc_audience.is_empty()),
                ("oidc_jwks_url", s.oidc_jwks_url.is_some()),
            ] {
                if is_set {
                    self.blame(name, "needs oidc_issuer to be set too".to_owned());
                }
            }
        }
    }

    fn tls(&mut self, s: &Settings) {
        let files = [("tls_cert", &s.tls_cert), ("tls_key", &s.tls_key)];
        for ((name, file), (other, partner)) in [(files[0], files[1]), (files[1], files[0])] {
            let Some(file) = file else { continue };
            if partner.is_none() {
                self.blame(name, format!("needs {other} to be set too"));
            }
            self.text(name, file);
        }
    }

    fn admin(&mut self, s: &Settings) {
        let is_open = s.admin_listen.is_some_and(|address| !address.ip().is_loopback());
        if is_open && s.admin_token.is_none() && !self.is_known("admin_token") {
            let right = "needs admin_token to be set too, as other machines can reach it; \
                a loopback address, such as 127.0.0.1:8081, needs none";
            self.blame("admin_listen", right.to_owned());
        }
    }

    /// The words of the files, and of the built-in lists for the others; none when all are
    /// built-in, or when something is wrong.
    fn words(&mut self, s: &Settings) -> Option<Words> {
        let lists = [
            ("words_adjectives", &s.words_adjectives, Words::ADJECTIVES),
            ("words_nouns", &s.words_nouns, Words::NOUNS),
            ("words_blacklist", &s.words_blacklist, Words::BLACKLIST),
        ];
        if lists.iter().all(|(_, file, _)| file.is_none()) {
            return None;
        }
        let read = lists.map(|(name, file, builtin)| match file {
            None => Some(builtin.to_owned()),
            Some(file) => self.text(name, file),
        });
        let [Some(adjectives), Some(nouns), Some(blacklist)] = &read else { return None };
        match Words::new(adjectives, nouns, blacklist) {
            Ok(words) => Some(words),
            Err(error) => {
                for problem in error.problems {
                    // A list of one's own is to blame; the built-in ones are at most bereft by it.
                    let list = format!("words_{}", problem.list());
                    let is_own =
                        |(name, file, _): &&(&str, &Option<_>, _)| file.is_some() && *name == list;
                    let own = lists.iter().find(is_own).map_or("words_blacklist", |list| list.0);
                    self.blame(own, format!("must be a good list of words: {problem}"));
                }
                None
            }
        }
    }

    /// The text of a file that a setting names.
    fn text(&mut self, name: &str, file: &Path) -> Option<String> {
        let text = std::fs::read_to_string(file);
        text.map_err(|error| self.blame(name, format!("must be a text file: {error}"))).ok()
    }

    /// Another setting's value and where it came from.
    fn shown(&self, name: &str) -> String {
        format!("{name}, which is {} ({})", self.given.text(name), self.given.origin(name))
    }
}
