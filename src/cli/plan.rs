//! The file of a migration's plan.
//!
//! ```toml
//! pool = "wss"
//! from = "haproxy"
//! to = "envoy"
//! pops = ["eu-west-1", "eu-west-2"]   # one after the other; or waves = [["eu-west-1"], ["eu-west-2", "us-east-1"]]
//! steps = [10, 25, 50, 75, 100]
//! soak = "10m"                        # left out, each step waits for `rhumb migrate advance`
//! guard = "hold"
//! reason = "envoy everywhere"
//! ```

use std::path::Path;

use toml::de::DeValue;

use crate::api::bodies::{GuardBody, NewMigration};
use crate::files::{Document, Fields, Problem, parse_duration};

/// Reads a plan; every mistake at once.
pub fn read_plan(file: &Path) -> Result<NewMigration, Vec<Problem>> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| vec![Problem::error(file, None, format!("cannot be read: {error}"))])?;
    let document = Document::new(file, &text);
    let plan = document.read().map(read_fields);
    let problems = document.into_problems();
    match plan {
        Some(plan) if problems.is_empty() => Ok(plan),
        _ => Err(problems),
    }
}

fn read_fields(mut fields: Fields) -> NewMigration {
    fields.object = "plan".into();
    fields.require(&["pool", "from", "to"]);
    let mut text = |name| fields.text(name).map(|text| text.value).unwrap_or_default();
    let (pool, from, to, reason) = (text("pool"), text("from"), text("to"), text("reason"));
    match (fields.has("pops"), fields.has("waves")) {
        (true, true) => fields.error("waves", fields.line, "write either `pops` or `waves`"),
        (false, false) => {
            fields.error("pops", fields.line, "missing; write the PoPs in order, or \"*\" for all of them");
        }
        _ => {}
    }
    let pops = fields.texts("pops").into_iter().map(|pop| pop.value).collect();
    let waves = read_waves(&mut fields);
    let has_steps = fields.has("steps");
    let mut steps: Vec<u8> = Vec::new();
    for step in fields.integers("steps") {
        match u8::try_from(step.value).ok().filter(|percent| (1..=100).contains(percent)) {
            Some(percent) if steps.last().is_none_or(|last| *last < percent) => steps.push(percent),
            _ => fields.error(
                "steps",
                step.line,
                format!("{}; write percentages that ascend to 100", step.value),
            ),
        }
    }
    if !has_steps {
        steps = vec![10, 25, 50, 75, 100];
    }
    let soak = fields.text("soak").and_then(|soak| match parse_duration(&soak.value) {
        Ok(_) => Some(soak.value),
        Err(message) => {
            fields.error("soak", soak.line, message);
            None
        }
    });
    let guard = fields.text("guard").map(|guard| match guard.value.as_str() {
        "hold" => GuardBody::Hold,
        "roll_back" => GuardBody::RollBack,
        "ignore" => GuardBody::Ignore,
        other => {
            fields.error(
                "guard",
                guard.line,
                format!("`{other}` is unknown; write hold, roll_back or ignore"),
            );
            GuardBody::Hold
        }
    });
    fields.finish();
    NewMigration {
        pool,
        from,
        to,
        pops,
        waves,
        steps,
        soak,
        guard: guard.unwrap_or_default(),
        reason,
        dry_run: false,
        force: false,
        expected_revision: None,
    }
}

/// Lists of PoPs that go together.
fn read_waves(fields: &mut Fields) -> Vec<Vec<String>> {
    let mut waves = Vec::new();
    for wave in fields.list("waves") {
        let names = match &wave.value {
            DeValue::Array(pops) => pops.iter().map(|pop| pop.get_ref().as_str().map(String::from)).collect(),
            _ => None,
        };
        match names {
            Some(names) => waves.push(names),
            None => fields.error(
                "waves",
                wave.line,
                "write lists of PoPs, such as [[\"eu-west-1\"], [\"us-east-1\"]]",
            ),
        }
    }
    waves
}
