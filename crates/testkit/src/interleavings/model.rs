//! What should be, said as plainly as possible: lists, and a few sentences for each event.

use ambo_core::{Limits, Millis, Secret, SessionId};

/// Everything there is.
pub struct Model {
    pub now: Millis,
    pub limits: Limits,
    pub sessions: Vec<Session>,
    pub people: Vec<Person>,
}

/// A session, ended or not.
pub struct Session {
    pub id: SessionId,
    pub owner: usize,
    pub is_ended: bool,
    pub expires_at: Millis,
    pub speaker: Option<usize>,
    pub awaited_until: Option<Millis>,
    pub paused: bool,
    pub muted: bool,
    /// When what listeners are told of the broadcast changed last.
    pub changed_at: Millis,
    /// Listeners that were told to refresh, the longest told first.
    pub told: Vec<usize>,
}

impl Session {
    /// Never at the moment of the change before.
    fn changes(&mut self, now: Millis) {
        self.changed_at = now.max(self.changed_at + Millis(1));
    }
}

/// A connection, a member of something or not.
pub struct Person {
    pub source: usize,
    pub member: Option<Member>,
    /// How many ends it must have heard of.
    pub ends: usize,
}

/// What a connection is in its session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub session: usize,
    /// `None` speaks.
    pub target: Option<usize>,
    pub connected_at: Millis,
    pub told: Option<Secret>,
}

/// What is expected of an event: done, or this code.
pub type Expected = Result<(), &'static str>;

/// What a refreshing listener shows.
#[derive(Clone, Copy, Debug)]
pub enum Shown {
    Nothing,
    /// A token of this person's with this secret.
    Token(usize, Secret),
}

const NOT_FOUND: Expected = Err("SESSION_NOT_FOUND");
const NOBODY: Expected = Err("CONNECTION_NOT_FOUND");
const FORBIDDEN: Expected = Err("FORBIDDEN");

impl Model {
    pub fn listeners(&self, session: usize) -> Vec<usize> {
        let listens = |member: &Member| member.session == session && member.target.is_some();
        let is_one = |person: &usize| self.member(*person).is_some_and(listens);
        (0..self.people.len()).filter(is_one).collect()
    }

    pub fn members(&self, session: usize) -> Vec<usize> {
        let mut members = self.listeners(session);
        members.extend(self.sessions[session].speaker);
        members.sort_unstable();
        members
    }

    fn member(&self, person: usize) -> Option<&Member> {
        self.people[person].member.as_ref()
    }

    fn is_live(&self, session: usize) -> bool {
        let session = &self.sessions[session];
        !session.is_ended && self.now < session.expires_at
    }

    fn is_due(&self, session: usize) -> bool {
        let of = &self.sessions[session];
        let is_alone = of.awaited_until.is_some_and(|until| until <= self.now);
        !of.is_ended && (of.expires_at <= self.now || is_alone)
    }

    pub fn create(&mut self, id: SessionId, owner: usize, person: usize) -> Expected {
        self.sessions.push(Session {
            id,
            owner,
            is_ended: false,
            expires_at: self.now + self.limits.session_max_duration,
            speaker: Some(person),
            awaited_until: None,
            paused: false,
            muted: false,
            changed_at: self.now,
            told: Vec::new(),
        });
        self.enter(person, self.sessions.len() - 1, None);
        Ok(())
    }

    pub fn join(&mut self, person: usize, session: usize, target: usize) -> Expected {
        if !self.is_live(session) {
            return NOT_FOUND;
        }
        match self.member(person) {
            Some(own) if own.session != session || own.target.is_none() => FORBIDDEN,
            Some(_) => self.retune(person, target),
            None => self.admit(person, session, target),
        }
    }

    pub fn take_up(&mut self, person: usize, session: usize, user: usize) -> Expected {
        if !self.is_live(session) {
            return NOT_FOUND;
        }
        let is_elsewhere = |own: &Member| own.session != session || own.target.is_some();
        if self.sessions[session].owner != user || self.member(person).is_some_and(is_elsewhere) {
            return FORBIDDEN;
        }
        let expires_at = self.now + self.limits.session_max_duration;
        let of = &mut self.sessions[session];
        of.expires_at = of.expires_at.max(expires_at);
        if of.awaited_until.take().is_some() {
            of.changes(self.now);
        }
        if let Some(old) = of.speaker.replace(person)
            && old != person
        {
            self.people[old].member = None;
        }
        if self.member(person).is_none() {
            self.enter(person, session, None);
        }
        Ok(())
    }

    pub fn go_on(
        &mut self,
        person: usize,
        session: usize,
        target: usize,
        shown: Shown,
    ) -> Expected {
        if !self.is_live(session) {
            return NOT_FOUND;
        }
        let own = self.member(person).cloned();
        if own.as_ref().is_some_and(|own| own.session != session || own.target.is_none()) {
            return FORBIDDEN;
        }
        let named = match shown {
            Shown::Token(of, secret) if self.is_proven(of, session, secret) => Some(of),
            Shown::Token(..) | Shown::Nothing => None,
        };
        let replaced = match (&own, named) {
            (_, Some(named)) => Some(named).filter(|named| *named != person),
            (Some(_), None) => None,
            (None, None) => self.offered(person, session, target, shown),
        };
        if let Some(old) = replaced {
            self.leave(old);
            if own.is_none() {
                self.enter(person, session, Some(target));
            }
        } else if own.is_none() {
            return self.admit(person, session, target);
        }
        self.retune(person, target)
    }

    pub fn departs(&mut self, person: usize, is_clean: bool) -> Expected {
        match self.member(person).cloned() {
            None => {}
            Some(Member { target: Some(_), .. }) => self.leave(person),
            Some(Member { session, .. }) if is_clean => {
                self.end(session);
                // It hung up itself, before it could hear of it.
                self.people[person].ends -= 1;
            }
            Some(Member { session, .. }) => {
                self.people[person].member = None;
                let of = &mut self.sessions[session];
                of.speaker = None;
                of.awaited_until = Some(self.now + self.limits.speaker_grace);
                of.changes(self.now);
            }
        }
        Ok(())
    }

    pub fn command(&mut self, person: usize, command: usize) -> Expected {
        let at = self.spoken(person)?;
        let session = &mut self.sessions[at];
        let was = (session.paused, session.muted);
        match command {
            0 => session.paused = true,
            1 => session.paused = false,
            2 => session.muted = true,
            _ => session.muted = false,
        }
        if (session.paused, session.muted) != was {
            session.changes(self.now);
        }
        Ok(())
    }

    pub fn change_language(&mut self, person: usize, target: usize) -> Expected {
        match self.member(person) {
            None => NOBODY,
            Some(Member { target: None, .. }) => FORBIDDEN,
            Some(own) if !self.is_live(own.session) => NOT_FOUND,
            Some(_) => self.retune(person, target),
        }
    }

    pub fn end_by_speaker(&mut self, person: usize) -> Expected {
        let session = self.spoken(person)?;
        self.end(session);
        Ok(())
    }

    pub fn close(&mut self, session: usize) -> Expected {
        if self.sessions[session].is_ended {
            return NOT_FOUND;
        }
        self.end(session);
        Ok(())
    }

    /// A sign of life: whether it is told to refresh because of it.
    pub fn beat(&mut self, person: usize) -> Result<bool, &'static str> {
        let is_told = self.age(person)?;
        let Some(Member { session, target: None, .. }) = self.member(person).cloned() else {
            return Ok(is_told);
        };
        let max = self.limits.session_max_duration;
        if self.is_live(session) && self.sessions[session].expires_at.since(self.now).0 < max.0 / 2
        {
            self.sessions[session].expires_at = self.now + max;
        }
        Ok(is_told)
    }

    /// Whether it is told to refresh because of its age.
    pub fn age(&mut self, person: usize) -> Result<bool, &'static str> {
        let member = self.member(person).ok_or("CONNECTION_NOT_FOUND")?;
        let age = self.now.since(member.connected_at);
        Ok(member.told.is_none() && age >= self.limits.connection_refresh)
    }

    /// Whether it is told to refresh because its node is drained.
    pub fn drain(&mut self, person: usize) -> Result<bool, &'static str> {
        let member = self.member(person).ok_or("CONNECTION_NOT_FOUND")?;
        Ok(member.told.is_none())
    }

    /// It was told to refresh, and given this.
    pub fn was_told(&mut self, person: usize, secret: Secret) {
        let member = self.people[person].member.as_mut().unwrap();
        member.told = Some(secret);
        if member.target.is_some() {
            self.sessions[member.session].told.push(person);
        }
    }

    pub fn sweep(&mut self) -> usize {
        let due: Vec<_> = (0..self.sessions.len()).filter(|at| self.is_due(*at)).collect();
        due.iter().for_each(|session| self.end(*session));
        due.len()
    }

    fn spoken(&self, person: usize) -> Result<usize, &'static str> {
        match self.member(person) {
            None => Err("CONNECTION_NOT_FOUND"),
            Some(Member { target: Some(_), .. }) => Err("FORBIDDEN"),
            Some(own) => Ok(own.session),
        }
    }

    fn is_proven(&self, of: usize, session: usize, secret: Secret) -> bool {
        self.member(of).is_some_and(|of| {
            of.session == session && of.target.is_some() && of.told == Some(secret)
        })
    }

    /// Who is taken as the one that comes back, where nobody is named who is still there.
    fn offered(&self, person: usize, session: usize, target: usize, shown: Shown) -> Option<usize> {
        if let Shown::Token(of, _) = shown
            && self.member(of).is_some()
        {
            return None;
        }
        let fits = |told: &usize| {
            let is_here = self.people[*told].source == self.people[person].source;
            is_here && self.member(*told).is_some_and(|told| told.target == Some(target))
        };
        self.sessions[session].told.iter().copied().find(fits)
    }

    fn admit(&mut self, person: usize, session: usize, target: usize) -> Expected {
        if self.listeners(session).len() >= self.limits.max_listeners as usize {
            return Err("SESSION_FULL");
        }
        self.enter(person, session, Some(target));
        Ok(())
    }

    fn enter(&mut self, person: usize, session: usize, target: Option<usize>) {
        let connected_at = self.now;
        let member = Member { session, target, connected_at, told: None };
        self.people[person].member = Some(member);
    }

    fn retune(&mut self, person: usize, target: usize) -> Expected {
        self.people[person].member.as_mut().unwrap().target = Some(target);
        Ok(())
    }

    fn leave(&mut self, person: usize) {
        if let Some(member) = self.people[person].member.take() {
            self.sessions[member.session].told.retain(|told| *told != person);
        }
    }

    fn end(&mut self, session: usize) {
        for person in self.members(session) {
            self.people[person].member = None;
            self.people[person].ends += 1;
        }
        let of = &mut self.sessions[session];
        (of.is_ended, of.speaker, of.awaited_until) = (true, None, None);
        of.told.clear();
    }
}
