//! Turns: a tool call through the child tool host, its events stored and streamed, the next request.

use serde_json::Value;

use crate::model::Model;
use crate::sample::{Sample, print_value};
use crate::server::Server;
use crate::{Effort, bare, cpu};

/// The loops take turns, so that both meet the same load of the machine.
const ROUNDS: usize = 3;

pub(crate) fn measure(effort: Effort) {
    let calls = effort.turns;
    let rounds = ROUNDS.min(effort.repeats);
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let run = ours_once(calls);
        bare.push(bare_once(calls, &run.model.bodies()[0]));
        ours.push(run);
    }
    report(calls, &ours, &bare);
}

/// One run of a loop.
struct Loop {
    model: Model,
    cpu: Option<f64>,
}

fn ours_once(calls: usize) -> Loop {
    let model = Model::start(calls);
    let server = Server::start(&model);
    let before = cpu::seconds();
    let done = server.code().done;
    assert_eq!(done["outcome"], "no changes", "{done}");
    let cpu = used_since(before);
    Loop { model, cpu }
}

fn bare_once(calls: usize, first: &[u8]) -> Loop {
    let model = Model::start(calls);
    let before = cpu::seconds();
    bare::run(&model, first, calls);
    let cpu = used_since(before);
    Loop { model, cpu }
}

fn used_since(before: Option<f64>) -> Option<f64> {
    Some(cpu::seconds()? - before?)
}

fn report(calls: usize, ours: &[Loop], bare: &[Loop]) {
    for (name, loops) in [("a turn", ours), ("a turn of the bare loop", bare)] {
        let best = best(loops);
        best.print(name);
        best.first_quarter().print("  first quarter");
        best.last_quarter().print("  last quarter");
    }
    let p50 = |loops: &[Loop]| best(loops).percentile(50);
    print_value(
        "ratio to the bare loop, p50",
        format!("{:.2}", p50(ours) / p50(bare)),
    );
    for (name, loops) in [("ours", ours), ("bare", bare)] {
        let cpu = loops.iter().filter_map(|one| one.cpu).reduce(f64::min);
        let per_20 = cpu.map_or(f64::NAN, |cpu| cpu / calls as f64 * 20.0);
        print_value(
            &format!("CPU s per 20 turns, model server included, {name}"),
            format!("{per_20:.3}"),
        );
        let model = &loops[0].model;
        let last = model.bodies().last().map_or(0, |body| body.len() / 1024);
        print_value(
            &format!("last request KiB, connections, {name}"),
            format!("{last}, {}", model.connections()),
        );
    }
    print_value("first command ran in", where_it_ran(&ours[0].model));
}

/// The quietest of the rounds.
fn best(loops: &[Loop]) -> Sample {
    let samples = loops.iter().map(|one| one.model.gaps());
    let quieter = |a: &Sample, b: &Sample| a.percentile(50).total_cmp(&b.percentile(50));
    samples.min_by(quieter).unwrap()
}

/// What the first command printed: that its shell is no login shell, and that its parent is the tool
/// host itself, with nothing in between.
fn where_it_ran(model: &Model) -> String {
    let request: Value = serde_json::from_slice(&model.bodies()[1]).unwrap();
    let result = &request["messages"][2]["content"][0]["content"][0]["text"];
    let text = result.as_str().unwrap_or_default().replace('\n', " ");
    assert!(
        text.contains("no login shell") && text.contains("tool-host serve bash"),
        "{request}"
    );
    "no login shell, under the tool host".to_owned()
}
