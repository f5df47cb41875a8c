//! What became of a command: its exit status, and what each of several servers said.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::client::{Failure, Said, Server};
use super::show::{Tone, json_text, loud, print_err, print_out};

/// How a command ends. These numbers are documented; scripts rely on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// It was refused, or failed.
    Failed,
    /// The command line is wrong.
    Wrong,
    /// No server answers.
    Unreachable,
    /// Some servers did it, and some did not.
    Partial,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> ExitCode {
        ExitCode::from(match outcome {
            Outcome::Done => 0,
            Outcome::Failed => 1,
            Outcome::Wrong => 2,
            Outcome::Unreachable => 3,
            Outcome::Partial => 4,
        })
    }
}

/// The command line is wrong, as it turned out only after it was read.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Wrong(pub String);

impl Outcome {
    /// Of an error that ended a command.
    pub fn of_error(error: &anyhow::Error) -> Outcome {
        match error.downcast_ref::<Failure>() {
            Some(Failure::Unreachable(_)) => Outcome::Unreachable,
            _ if error.is::<Wrong>() => Outcome::Wrong,
            _ => Outcome::Failed,
        }
    }

    /// Of what several servers said.
    pub fn of_answers<T>(answers: &[Answer<T>]) -> Outcome {
        let failures: Vec<_> = answers.iter().filter_map(|answer| answer.said.as_ref().err()).collect();
        let is_unreachable = |failure: &&&Failure| matches!(failure, Failure::Unreachable(_));
        match failures.len() {
            0 => Outcome::Done,
            some if some < answers.len() => Outcome::Partial,
            all if failures.iter().filter(is_unreachable).count() == all => Outcome::Unreachable,
            _ => Outcome::Failed,
        }
    }
}

/// What one server said.
pub struct Answer<T> {
    /// Which.
    pub server: String,
    /// What.
    pub said: Result<T, Failure>,
}

/// Asks every server at the same time, so that one that is dead holds up no other.
pub fn ask<T: Send>(
    servers: &[Server],
    ask: impl Fn(&Server) -> Result<T, Failure> + Sync,
) -> Vec<Answer<T>> {
    std::thread::scope(|scope| {
        let ask = &ask;
        let asked: Vec<_> = servers.iter().map(|server| (server, scope.spawn(move || ask(server)))).collect();
        let answers = asked.into_iter().map(|(server, thread)| Answer {
            server: server.name.clone(),
            said: thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
        });
        answers.collect()
    })
}

/// Something to be printed.
pub struct Told {
    /// For standard output.
    pub out: String,
    /// For standard error.
    pub err: String,
    /// How the command ends.
    pub outcome: Outcome,
}

impl Told {
    /// Prints it.
    pub fn print(&self) -> Outcome {
        print_out(&self.out);
        print_err(&self.err);
        self.outcome
    }
}

/// What the servers said, one after the other; each under its name, if there are several.
pub fn tell<T>(answers: &[Answer<Said<T>>], json: bool, words: impl Fn(&Said<T>) -> String) -> Told {
    if json {
        return tell_json(answers);
    }
    let outcome = Outcome::of_answers(answers);
    let (mut out, mut err) = (String::new(), String::new());
    for answer in answers {
        if answers.len() > 1 && answer.said.is_ok() {
            let gap = if out.is_empty() { "" } else { "\n" };
            out += &format!("{gap}{}\n", loud(&format!("server {}", answer.server), Tone::Plain));
        }
        match &answer.said {
            Ok(said) => out += &words(said),
            Err(failure) => err += &format!("rhumb: {failure}\n"),
        }
    }
    if outcome == Outcome::Partial {
        let done = answers.iter().filter(|answer| answer.said.is_ok()).count();
        err +=
            &format!("rhumb: only {done} of {} servers did as asked; asking again is safe\n", answers.len());
    }
    Told { out, err, outcome }
}

/// The same for machines: what the server says, or a list of what each says, in the order they were named.
pub fn tell_json<T>(answers: &[Answer<Said<T>>]) -> Told {
    let of = |answer: &Answer<Said<T>>| match &answer.said {
        Ok(said) => json!({ "said": said.json }),
        Err(failure) => failure.json(),
    };
    let json: Value = match answers {
        [Answer { said: Ok(said), .. }] => said.json.clone(),
        [answer] => of(answer),
        several => several
            .iter()
            .map(|answer| {
                let mut json = of(answer);
                json["server"] = answer.server.clone().into();
                json
            })
            .collect(),
    };
    let out = json_text(&serde_json::to_string_pretty(&json).expect("text keys")) + "\n";
    Told { out, err: String::new(), outcome: Outcome::of_answers(answers) }
}
