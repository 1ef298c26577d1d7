use super::*;
use serde_json::json;

fn span(from: u64, until: u64) -> Span {
    Span { from: Duration::from_secs(from), until: Duration::from_secs(until) }
}

fn write(deed: Deed, outcome: Outcome) -> Write {
    Write { key: "model".to_owned(), deed, span: span(0, 1), outcome }
}

fn placed(name: &str) -> Write {
    write(Deed::Place, Outcome::Acked { instance: Some(name.to_owned()) })
}

fn deleted(name: &str, outcome: Outcome) -> Write {
    write(Deed::Delete { instance: name.to_owned() }, outcome)
}

const DONE: Outcome = Outcome::Acked { instance: None };

fn unknown() -> Outcome {
    Outcome::Unknown("no answer".to_owned())
}

fn state(instances: &[&str]) -> Value {
    let of_model = json!({ "shardAssignments": { "modelCard": { "modelId": "model" } } });
    let instances: serde_json::Map<_, _> =
        instances.iter().map(|name| ((*name).to_owned(), of_model.clone())).collect();
    json!({ "instances": instances })
}

fn rest(states: Vec<Value>) -> Rest {
    Rest { recovered_after: Some(Duration::from_secs(3)), open: vec![0; states.len()], states, complaints: Vec::new() }
}

/// Each expected text is a part of one violation, in order; there are no others.
fn check(events: Events, rest: &Rest, expect: &[&str]) {
    let found = violations(&events, rest);
    let fits = found.len() == expect.len() && found.iter().zip(expect).all(|(found, part)| found.contains(part));
    assert!(fits, "expected {expect:?}, found {found:?}");
}

fn check_writes_of(writes: Vec<Write>, instances: &[&str], expect: &[&str]) {
    check(Events { writes, ..Events::default() }, &rest(vec![state(instances)]), expect);
}

#[test]
fn what_was_acknowledged_must_be_there() {
    check_writes_of(vec![placed("i")], &["i"], &[]);
    check_writes_of(vec![placed("i")], &["i.again-17"], &[]);
    check_writes_of(vec![placed("i")], &[], &["lost: model was acknowledged as i"]);
    check_writes_of(vec![placed("i"), placed("j")], &["j"], &["lost: model was acknowledged as i"]);
}

#[test]
fn what_was_taken_away_must_not_be_there() {
    check_writes_of(vec![placed("i"), deleted("i", DONE)], &[], &[]);
    check_writes_of(vec![placed("i"), deleted("i", DONE)], &["i"], &["back: model"]);
    check_writes_of(vec![placed("i"), deleted("i.again-3", DONE)], &["i.again-9"], &["back: model"]);
}

#[test]
fn what_has_no_answer_may_be_either_way() {
    for instances in [&[][..], &["i"]] {
        check_writes_of(vec![placed("i"), deleted("i", unknown())], instances, &[]);
        check_writes_of(vec![write(Deed::Place, unknown())], instances, &[]);
    }
    check_writes_of(vec![write(Deed::Place, unknown())], &["i", "j"], &["2 are there that nobody was told of, 1"]);
    let refused = write(Deed::Place, Outcome::Refused("does_not_fit".to_owned()));
    check_writes_of(vec![refused], &["i"], &["1 are there that nobody was told of, 0"]);
}

#[test]
fn intents_count_where_there_are_some_and_each_has_its_instance_ready() {
    let wanted = |instances: Value, runners: Value| {
        let intents = json!({ "i": { "id": "i", "place": { "modelId": "model" } } });
        rest(vec![json!({ "intents": intents, "instances": instances, "runners": runners })])
    };
    let instance = json!({ "x": { "intent": "i", "shardAssignments": { "runnerToShard": { "r": {} } } } });
    let events = || Events { writes: vec![placed("i")], ..Events::default() };
    let ready = json!({ "r": { "RunnerReady": { "incarnation": 1 } } });
    check(events(), &wanted(instance.clone(), ready), &[]);
    check(events(), &wanted(json!({}), json!({})), &["model is wanted (i) and has no instance"]);
    let failed = json!({ "r": { "RunnerFailed": {} } });
    check(events(), &wanted(instance, failed), &["model is wanted (i) and not ready: r"]);
}

#[test]
fn nodes_must_agree_and_serve_again_and_have_nothing_open() {
    let disagreeing = rest(vec![state(&["i"]), state(&[])]);
    let events = || Events { writes: vec![placed("i")], ..Events::default() };
    check(events(), &disagreeing, &["node-a and node-b disagree about instances"]);
    let late = Rest { recovered_after: Some(Duration::from_secs(11)), ..rest(vec![state(&["i"])]) };
    check(events(), &late, &["served again only 11"]);
    let never = Rest { recovered_after: None, ..rest(vec![state(&["i"])]) };
    check(events(), &never, &["did not serve again"]);
    let open = Rest { open: vec![2], ..rest(vec![state(&["i"])]) };
    check(events(), &open, &["node-a still has 2 open requests"]);
    check(events(), &rest(Vec::new()), &["no api told its State"]);
    let complaint = Rest { complaints: vec!["something".to_owned()], ..rest(vec![state(&["i"])]) };
    check(events(), &complaint, &["something"]);
}

#[test]
fn a_request_ends_by_its_deadline_and_is_cut_only_with_its_api() {
    let killed = Outage { api: 1, span: span(10, 12), killed: true };
    let paused = Outage { api: 1, span: span(10, 17), killed: false };
    let check_chat = |span: Span, answer: Answer, outages: &[Outage], expect: &[&str]| {
        let chats = vec![Chat { api: 1, span, answer }];
        let events = Events { chats, outages: outages.to_vec(), ..Events::default() };
        check(events, &rest(vec![state(&[])]), expect);
    };
    let cut = || Answer::Cut("reset".to_owned());
    check_chat(span(5, 11), cut(), &[killed], &[]);
    check_chat(span(1, 3), cut(), &[killed], &["was cut though its api lived"]);
    check_chat(span(11, 11), cut(), &[paused], &["was cut though its api lived"]);
    check_chat(span(15, 15), Answer::Unreachable, &[killed], &[]);
    check_chat(span(30, 30), Answer::Unreachable, &[killed], &["nobody took a request"]);
    check_chat(span(0, 24), Answer::Failed("deadline_exceeded".to_owned()), &[], &[]);
    check_chat(span(0, 31), Answer::Whole, &[], &["ended after 31"]);
    check_chat(span(0, 31), Answer::Whole, &[paused], &[]);
    check_chat(span(0, 60), Answer::Open, &[paused], &["never ended"]);
    check_chat(span(0, 1), Answer::Wrong("both".to_owned()), &[killed], &["came out wrong: both"]);
}
