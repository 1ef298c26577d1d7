//! Several masters, what they see of each other late and in any order, and a log that elects by majority: whatever
//! happens, once all see each other again they are in one session, with one leader.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// The replicated log of one session, as far as it matters here.
#[derive(Debug, Default)]
struct Group {
    members: BTreeSet<usize>,
    leader: Option<usize>,
    term: u64,
    commands: u64,
}

struct World {
    now: Instant,
    masters: Vec<Option<Election>>,
    /// What each has on its disk.
    logs: Vec<OwnLog>,
    said: Vec<Option<MasterPresence>>,
    groups: BTreeMap<SessionId, Group>,
    /// The second does not hear the first.
    cut: BTreeSet<(usize, usize)>,
    /// What is seen of whom, until the next look.
    views: BTreeMap<(usize, usize), Option<MasterPresence>>,
    founded: BTreeSet<SessionId>,
}

impl World {
    fn new(size: usize) -> Self {
        Self {
            now: start(),
            masters: (0..size).map(|_| None).collect(),
            logs: vec![OwnLog::default(); size],
            said: vec![None; size],
            groups: BTreeMap::new(),
            cut: BTreeSet::new(),
            views: BTreeMap::new(),
            founded: BTreeSet::new(),
        }
    }

    fn hears(&self, who: usize, whom: usize) -> bool {
        who == whom || !self.cut.contains(&(whom, who))
    }

    /// Questions and answers get through.
    fn reaches(&self, a: usize, b: usize) -> bool {
        speak(&self.cut, a, b)
    }

    fn is_up(&self, master: usize) -> bool {
        self.masters[master].is_some()
    }

    fn boot(&mut self, master: usize) {
        if !self.is_up(master) {
            let log = OwnLog { leads: false, has_quorum: false, ..self.logs[master].clone() };
            self.masters[master] = Some(Election::new(self.now, options(NAMES[master]), log));
            self.carry_out(master);
        }
    }

    fn crash(&mut self, master: usize) {
        self.masters[master] = None;
        self.said[master] = None;
        self.views.retain(|(who, _), _| *who != master);
    }

    /// One sees of another what that one says now.
    fn look(&mut self, who: usize, whom: usize) {
        if who == whom || !self.is_up(who) {
            return;
        }
        let seen = self.said[whom].clone().filter(|_| self.is_up(whom) && self.hears(who, whom));
        if self.views.get(&(who, whom)).cloned().flatten() == seen {
            return;
        }
        self.views.insert((who, whom), seen.clone());
        let (now, key) = (self.now, NAMES[whom].to_owned());
        if let Some(election) = &mut self.masters[who] {
            match seen {
                Some(presence) => election.on_master(now, key, node(NAMES[whom]), presence),
                None => election.on_master_left(now, &key),
            }
        }
        self.carry_out(who);
    }

    fn carry_out(&mut self, who: usize) {
        for _ in 0..100 {
            let Some(output) = self.masters[who].as_mut().and_then(Election::poll_output) else { return };
            match output {
                Output::Found(session) | Output::TakeOver(session) => self.found(who, session),
                Output::Join { session, leader } => self.join(who, &session, &leader),
                Output::Ask { leader } => {
                    if let Some(session) = self.logs[who].session.clone() {
                        self.join(who, &session, &leader);
                    }
                }
                Output::Present(presence) => self.said[who] = Some(presence),
                Output::Resume(_) | Output::Campaign { .. } | Output::Announce(_) | Output::WaitFor(_) => {}
            }
        }
        panic!("{} has no end of things to do", NAMES[who]);
    }

    fn found(&mut self, who: usize, session: SessionId) {
        assert!(self.founded.insert(session.clone()), "{session} is founded twice");
        let commands_seen = self.logs[who].commands_seen;
        let group = Group { members: [who].into(), leader: None, term: 0, commands: commands_seen };
        self.groups.insert(session.clone(), group);
        self.logs[who] = OwnLog {
            session: Some(session),
            last: EventIndex(1),
            commands_seen,
            voters: voters(&[NAMES[who]]),
            ..OwnLog::default()
        };
    }

    /// The leader takes in whom it reaches, unless it is giving its session up.
    fn join(&mut self, who: usize, session: &SessionId, leader: &NodeId) {
        let leader = NAMES.iter().position(|name| *name == leader.as_str()).expect("one of them");
        let serves = self.masters.get(leader).and_then(Option::as_ref).is_some_and(Election::may_serve);
        let group = self.groups.get_mut(session).filter(|group| group.leader == Some(leader));
        let now = self.now;
        let Some(group) = group.filter(|_| serves && speak(&self.cut, who, leader)) else {
            if let Some(election) = &mut self.masters[who] {
                election.on_join_failed(now);
            }
            return;
        };
        group.members.insert(who);
        if self.logs[who].session.as_ref() != Some(session) {
            self.logs[who] = OwnLog { session: Some(session.clone()), last: EventIndex(1), ..OwnLog::default() };
        }
        self.refresh_log(who);
        let log = self.logs[who].clone();
        if let Some(election) = &mut self.masters[who] {
            election.on_joined(now, log);
        }
    }

    /// Elects where a majority of a session is together, and tells everybody what its log says.
    fn elect(&mut self) {
        let sessions: Vec<SessionId> = self.groups.keys().cloned().collect();
        for session in sessions {
            let is_in = |who: &usize| self.is_up(*who) && self.logs[*who].session.as_ref() == Some(&session);
            let members = self.groups[&session].members.clone();
            let present: Vec<usize> = members.iter().copied().filter(is_in).collect();
            let side = |who: usize| present.iter().filter(|other| self.reaches(who, **other)).count();
            let able = present.iter().copied().find(|who| side(*who) * 2 > members.len());
            let Some(group) = self.groups.get_mut(&session) else { continue };
            let stays = group.leader.is_some_and(|leader| {
                let together = present.iter().filter(|other| speak(&self.cut, leader, **other));
                present.contains(&leader) && together.count() * 2 > members.len()
            });
            if !stays {
                group.leader = able;
                group.term += u64::from(able.is_some());
            }
        }
        for who in 0..self.masters.len() {
            self.refresh_log(who);
            let (now, log) = (self.now, self.logs[who].clone());
            if let Some(election) = &mut self.masters[who] {
                election.on_log(now, log);
            }
            self.carry_out(who);
        }
    }

    fn refresh_log(&mut self, who: usize) {
        let Some(session) = self.logs[who].session.clone() else { return };
        let group = &self.groups[&session];
        let leads = group.leader == Some(who) && group.members.contains(&who);
        let is_current = group.leader.is_some_and(|leader| self.reaches(who, leader));
        let own = &mut self.logs[who];
        (own.term, own.leads, own.has_quorum) = (group.term, leads, leads);
        if is_current {
            own.commands_seen = group.commands;
        }
        own.voters = group.members.iter().map(|member| node(NAMES[*member])).collect();
    }

    fn wait(&mut self, span: Duration) {
        self.now += span;
        for who in 0..self.masters.len() {
            let now = self.now;
            if let Some(election) = &mut self.masters[who]
                && election.poll_timeout().is_some_and(|due| due <= now)
            {
                election.handle_timeout(now);
                self.carry_out(who);
            }
        }
    }

    fn everybody_looks(&mut self) {
        for who in 0..self.masters.len() {
            for whom in 0..self.masters.len() {
                self.look(who, whom);
            }
        }
    }

    fn leaders_agree(&self) -> Result<(), String> {
        let sessions: BTreeSet<_> = self.logs.iter().map(|log| log.session.clone()).collect();
        let leading = self.said.iter().flatten().filter(|presence| presence.leading).count();
        if sessions.len() == 1 && !sessions.contains(&None) && leading == 1 {
            return Ok(());
        }
        Err(format!("{leading} lead in sessions {sessions:?}"))
    }
}

fn speak(cut: &BTreeSet<(usize, usize)>, a: usize, b: usize) -> bool {
    a == b || !(cut.contains(&(a, b)) || cut.contains(&(b, a)))
}

#[derive(Debug, Clone)]
enum Step {
    Boot(usize),
    Crash(usize),
    Look(usize, usize),
    /// The second does not hear the first any more.
    Deafen(usize, usize),
    Cut(usize, usize),
    Heal(usize, usize),
    Elect,
    Wait(u64),
    Work(usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    let one = || 0..NAMES.len();
    prop_oneof![
        2 => one().prop_map(Step::Boot),
        1 => one().prop_map(Step::Crash),
        8 => (one(), one()).prop_map(|(a, b)| Step::Look(a, b)),
        1 => (one(), one()).prop_map(|(a, b)| Step::Deafen(a, b)),
        1 => (one(), one()).prop_map(|(a, b)| Step::Cut(a, b)),
        1 => (one(), one()).prop_map(|(a, b)| Step::Heal(a, b)),
        4 => Just(Step::Elect),
        4 => prop::sample::select(vec![50u64, 500, 1500, 12_000, 40_000]).prop_map(Step::Wait),
        1 => one().prop_map(Step::Work),
    ]
}

proptest! {
    // A case is a hundred seconds of several masters: these take two seconds.
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn masters_that_see_each_other_end_in_one_session(
        size in 1usize..=5,
        steps in prop::collection::vec(any_step(), 0..120),
    ) {
        let mut world = World::new(size);
        let at = |index: usize| index % size;
        for step in steps {
            match step {
                Step::Boot(who) => world.boot(at(who)),
                Step::Crash(who) => world.crash(at(who)),
                Step::Look(who, whom) => world.look(at(who), at(whom)),
                Step::Deafen(a, b) => drop(world.cut.insert((at(a), at(b)))),
                Step::Cut(a, b) => world.cut.extend([(at(a), at(b)), (at(b), at(a))]),
                Step::Heal(a, b) => world.cut.retain(|cut| *cut != (at(a), at(b)) && *cut != (at(b), at(a))),
                Step::Elect => world.elect(),
                Step::Wait(millis) => world.wait(Duration::from_millis(millis)),
                Step::Work(who) => {
                    let mut led = world.groups.values_mut().filter(|group| group.leader == Some(at(who)));
                    if let Some(group) = led.next() {
                        group.commands += 1;
                    }
                }
            }
        }
        world.cut.clear();
        for who in 0..size {
            world.boot(who);
        }
        // Longer than a takeover, what was told long ago, and as many meetings as there are masters.
        for _ in 0..400 {
            world.everybody_looks();
            world.elect();
            world.wait(Duration::from_millis(250));
        }
        prop_assert_eq!(world.leaders_agree(), Ok(()));
    }
}
