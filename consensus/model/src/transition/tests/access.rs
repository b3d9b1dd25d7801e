//! The cluster itself: its id, nodes, tokens and the audit trail.

use super::story::Story;
use crate::{
    AUDIT_ENTRIES_MAX, AuditEntry, Command, Digest, NewToken, NodeId, NodeInfo, Outcome, Proposal, Rejection, Role,
    TokenId,
};

fn token(number: u128, secret: &str) -> NewToken {
    NewToken {
        token: TokenId(number),
        name: "ci".to_owned(),
        role: Role::Runner,
        secret: Digest::of(secret.as_bytes()),
        ttl_ms: None,
    }
}

fn by(actor: &str, command: Command) -> Proposal {
    Proposal { actor: Some(actor.to_owned()), ..Proposal::internal(command) }
}

#[test]
fn a_cluster_gets_its_id_once() {
    let mut story = Story::default();
    let name = |id: &str| Command::NameCluster { id: id.to_owned() };
    assert_eq!(story.apply(name("a")).0, Outcome::Done);
    assert_eq!(story.apply(name("a")).0, Outcome::Done);
    assert_eq!(story.apply(name("b")).0, Outcome::Rejected(Rejection::OtherCluster));
    assert_eq!(story.state.cluster().expect("named").id, "a");
}

#[test]
fn a_node_says_who_it_is_at_each_start() {
    let mut story = Story::default();
    let node = NodeId(7);
    let admit = |version: &str| {
        let info = NodeInfo { name: "a".to_owned(), version: version.to_owned(), ..NodeInfo::default() };
        Command::AdmitNode { node, info: Box::new(info) }
    };
    story.apply(admit("1"));
    let first_ms = story.now_ms;
    story.apply(admit("2"));
    let known = story.state.node(node).expect("known");
    assert_eq!((known.info.version.as_str(), known.admitted_ms, known.started_ms), ("2", first_ms, story.now_ms));
    assert_eq!(story.apply(Command::ForgetNode { node }).0, Outcome::Done);
    assert_eq!(story.apply(Command::ForgetNode { node }).0, Outcome::Rejected(Rejection::NodeNotFound(node)));
}

#[test]
fn a_token_is_found_by_its_secret_until_it_ends_or_is_revoked() {
    let mut story = Story::default();
    let secret = Digest::of(b"secret");
    let limited = NewToken { ttl_ms: Some(1000), ..token(1, "secret") };
    assert_eq!(story.apply(Command::CreateToken(Box::new(limited))).0, Outcome::Done);
    let born_ms = story.now_ms;
    let (id, known) = story.state.token_of(&secret).expect("found");
    assert_eq!((id, known.role), (TokenId(1), Role::Runner));
    assert!(known.is_valid(born_ms + 999) && !known.is_valid(born_ms + 1000));
    for again in [token(1, "other"), token(2, "secret")] {
        let taken = Outcome::Rejected(Rejection::TokenExists);
        assert_eq!(story.apply(Command::CreateToken(Box::new(again))).0, taken);
    }
    assert_eq!(story.apply(Command::RevokeToken { token: id }).0, Outcome::Done);
    let (_, known) = story.state.token_of(&secret).expect("still listed");
    assert!(!known.is_valid(born_ms));
    let revoked_ms = known.revoked_ms;
    story.apply(Command::RevokeToken { token: id });
    assert_eq!(story.state.token(id).expect("listed").revoked_ms, revoked_ms);
    let missing = Outcome::Rejected(Rejection::TokenNotFound);
    assert_eq!(story.apply(Command::RevokeToken { token: TokenId(9) }).0, missing);
}

#[test]
fn who_changed_what_is_in_the_audit_trail_refused_or_not() {
    let mut story = Story::default();
    let create = || Command::CreateToken(Box::new(token(1, "s")));
    story.apply_proposal(by("anna", create()));
    story.apply_proposal(by("bert", create()));
    story.apply_proposal(by("anna", Command::Audit { action: "member add".to_owned(), subject: "7".to_owned() }));
    // The cluster's own commands and reads are not in it.
    story.apply(Command::Tick);
    let trail: Vec<_> = story.state.audit().map(|(number, entry)| (number, entry.clone())).collect();
    let entry = |at_ms, actor: &str, action: &str, subject: &str, refusal: Option<&str>| AuditEntry {
        at_ms,
        actor: actor.to_owned(),
        action: action.to_owned(),
        subject: subject.to_owned(),
        refusal: refusal.map(str::to_owned),
    };
    assert_eq!(
        trail,
        [
            (3, entry(30, "anna", "member add", "7", None)),
            (2, entry(20, "bert", "token create", "ci (runner)", Some("the token exists already"))),
            (1, entry(10, "anna", "token create", "ci (runner)", None)),
        ]
    );
}

#[test]
fn the_audit_trail_keeps_the_newest_entries() {
    let mut story = Story::default();
    let note = || by("anna", Command::Audit { action: "x".repeat(1000), subject: "ü".repeat(1000) });
    for _ in 0..AUDIT_ENTRIES_MAX + 5 {
        story.apply_quickly(&note());
    }
    assert_eq!(story.state.audit().count(), AUDIT_ENTRIES_MAX);
    let (number, newest) = story.state.audit().next().expect("entries");
    assert_eq!(number, AUDIT_ENTRIES_MAX as u64 + 5);
    assert!(newest.action.len() <= 256 && newest.subject.len() <= 256, "long texts are cut");
    story.assert_replayed();
}
