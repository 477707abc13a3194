//! The tools as a program, spoken to by hand.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

#[test]
fn the_program_counts() -> std::io::Result<()> {
    let mut program = Command::new(env!("CARGO_BIN_EXE_word-count"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = program.stdin.take().ok_or(std::io::ErrorKind::BrokenPipe)?;
    let output = program
        .stdout
        .take()
        .ok_or(std::io::ErrorKind::BrokenPipe)?;
    let mut lines = BufReader::new(output).lines();
    for (request, part) in [
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}"#,
            r#""name":"words""#,
        ),
        (
            r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"count","arguments":{"text":"one two three"}}}"#,
            r#""text":"3""#,
        ),
    ] {
        writeln!(input, "{request}")?;
        let answer = lines.next().ok_or(std::io::ErrorKind::UnexpectedEof)??;
        assert!(answer.contains(part), "{answer}");
        if request.contains("initialize") {
            writeln!(
                input,
                r#"{{"jsonrpc":"2.0","method":"notifications/initialized"}}"#
            )?;
        }
    }
    drop(input);
    assert!(program.wait()?.success());
    Ok(())
}
