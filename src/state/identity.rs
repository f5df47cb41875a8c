//! What an answer is called: in files and for the eye, and everywhere else by an identity of its own.

use super::chains::AnswerSpec;

/// What identifies an answer, as far as it is written: pool, PoP and stack.
pub fn called(answer: &AnswerSpec, pool: Option<&str>) -> String {
    let parts = [pool, answer.pop.as_ref().map(|pop| pop.value.as_str()), answer.stack.as_deref()];
    parts.into_iter().flatten().collect::<Vec<&str>>().join("/")
}

/// What the operator calls it; `index` is its place among the others, from 0.
pub fn answer_name(answer: &AnswerSpec, pool: Option<&str>, index: usize) -> String {
    match (&answer.name, called(answer, pool)) {
        (Some(name), _) => name.clone(),
        (None, called) if called.is_empty() => format!("answer {}", index + 1),
        (None, called) => called,
    }
}

/// The identities of the answers of a pool or of a record, which drains, feeds, monitors and counters name:
/// `pool/PoP/stack`, whatever the operator calls it, or `record/answer`. No two are the same.
pub fn identities(owner: &str, in_pool: bool, answers: &[AnswerSpec]) -> Vec<String> {
    let mut identities: Vec<String> = Vec::new();
    for (index, answer) in answers.iter().enumerate() {
        let own = match in_pool && answer.pop.is_some() {
            true => called(answer, None),
            false => answer_name(answer, None, index),
        };
        let mut identity = format!("{owner}/{own}");
        if identities.contains(&identity) {
            identity = format!("{identity}#{}", index + 1);
        }
        identities.push(identity);
    }
    identities
}
