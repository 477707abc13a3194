//! The escape suite: what an attacker inside would try, and the honest work that must go on.
//!
//! A case is a row of `tests/escapes/<category>.toml`: a shell line that `pullwright sandbox run`
//! runs, and what must come of it. Each case gets baits of its own on the host ([`bait`]), and after
//! it the baits are looked at, so that no case passes by what it prints alone. Cases that say so
//! also run without a sandbox, where the attack must succeed, and in bubblewrap, to compare.
//!
//! Everything runs as this user and, if that is root, as an ordinary one too ([`user`]).

mod bait;
mod case;
mod launch;
mod leftovers;
mod stage;
mod suite;
mod table;
mod tools;
mod user;
mod verdict;

use table::Table;

#[test]
fn nothing_escapes_and_honest_work_goes_on() {
    let mut table = Table::default();
    let mut failures = suite::run(&mut table);
    user::hand_over(&table);
    failures.extend(user::run(&mut table));
    table.print();
    assert!(failures.is_empty(), "\n{}", failures.join("\n\n"));
}
