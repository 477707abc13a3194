//! Native libraries: real ones, built by the machine's C compiler.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use proptest::prelude::*;
use pullwright_link::{LibraryConnection, LibraryError, NativeLibrary};
use pullwright_protocol::abi;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/c-library");

/// No wait of a test is longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Tells what it is told, in two threads that do not wait, and goes on after its end.
const HOSTILE: &str = r#"
#include "pullwright_plugin.h"
#include <pthread.h>
#include <string.h>
static pullwright_host host;
static void *talk(void *unused) {
    (void)unused;
    for (int i = 0; i < 100000; i++) {
        host.on_message(host.context, (const uint8_t *)"noise", 5);
        host.on_message(host.context, NULL, 0);
        host.on_message(host.context, NULL, 7);
        host.on_message(host.context, (const uint8_t *)"\xff\xfe\n", 3);
    }
    host.on_closed(host.context);
    host.on_closed(host.context);
    host.on_message(host.context, (const uint8_t *)"late", 4);
    return NULL;
}
uint32_t pullwright_plugin_abi_version(void) { return PULLWRIGHT_ABI_VERSION; }
void *pullwright_plugin_open(const pullwright_host *h) {
    pthread_t thread;
    host = *h;
    for (int i = 0; i < 2; i++) {
        if (pthread_create(&thread, NULL, talk, NULL) != 0) return NULL;
        pthread_detach(thread);
    }
    return &host;
}
int pullwright_plugin_send(void *instance, const uint8_t *message, size_t length) {
    (void)instance; (void)message; (void)length;
    return 12345;
}
void pullwright_plugin_close(void *instance) { (void)instance; }
"#;

/// Sends everything back, and has no room every second time.
const ECHO: &str = r#"
#include "pullwright_plugin.h"
#include <stdlib.h>
typedef struct { pullwright_host host; int turn; } echo;
uint32_t pullwright_plugin_abi_version(void) { return PULLWRIGHT_ABI_VERSION; }
void *pullwright_plugin_open(const pullwright_host *host) {
    echo *self = calloc(1, sizeof *self);
    if (self) self->host = *host;
    return self;
}
int pullwright_plugin_send(void *instance, const uint8_t *message, size_t length) {
    echo *self = instance;
    if (self->turn++ % 2) return PULLWRIGHT_FULL;
    return self->host.on_message(self->host.context, message, length);
}
void pullwright_plugin_close(void *instance) { free(instance); }
"#;

const OTHER_VERSION: &str = r#"
#include "pullwright_plugin.h"
uint32_t pullwright_plugin_abi_version(void) { return 77; }
void *pullwright_plugin_open(const pullwright_host *host) { (void)host; return 0; }
int pullwright_plugin_send(void *i, const uint8_t *m, size_t l) { (void)i; (void)m; (void)l; return 0; }
void pullwright_plugin_close(void *instance) { (void)instance; }
"#;

const REFUSES: &str = r#"
#include "pullwright_plugin.h"
uint32_t pullwright_plugin_abi_version(void) { return PULLWRIGHT_ABI_VERSION; }
void *pullwright_plugin_open(const pullwright_host *host) { (void)host; return 0; }
int pullwright_plugin_send(void *i, const uint8_t *m, size_t l) { (void)i; (void)m; (void)l; return 0; }
void pullwright_plugin_close(void *instance) { (void)instance; }
"#;

const NO_PLUGIN: &str = "int nothing(void) { return 0; }\n";

struct Built {
    path: PathBuf,
    _folder: TempDir,
}

/// Builds a library, or says that the test is skipped.
fn build(source: &str) -> Option<Built> {
    let folder = tempfile::tempdir().unwrap();
    let (file, path) = (
        folder.path().join("plugin.c"),
        folder.path().join("plugin.so"),
    );
    std::fs::write(&file, source).unwrap();
    compile(&["-shared", "-fPIC", "-pthread"], &file, &path)?;
    Some(Built {
        path,
        _folder: folder,
    })
}

fn compile(options: &[&str], file: &Path, output: &Path) -> Option<()> {
    let compiled = Command::new("cc")
        .args([
            "-std=c11",
            "-D_GNU_SOURCE",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-I",
            EXAMPLE,
        ])
        .args(options)
        .arg("-o")
        .args([output, file])
        .output();
    match compiled {
        Ok(compiled) => {
            let said = String::from_utf8_lossy(&compiled.stderr);
            assert!(compiled.status.success(), "{said}");
            Some(())
        }
        Err(error) => {
            eprintln!("SKIPPED: native libraries: there is no C compiler `cc`: {error}");
            None
        }
    }
}

fn sha256(path: &Path) -> String {
    let mut hex = String::new();
    for byte in Sha256::digest(std::fs::read(path).unwrap()) {
        write!(hex, "{byte:02x}").unwrap();
    }
    hex
}

fn load(path: &Path) -> Result<NativeLibrary, LibraryError> {
    NativeLibrary::load(path, &sha256(path))
}

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("in time")
}

/// Asks and reads the next line.
async fn ask(connection: &mut LibraryConnection, message: &str) -> String {
    connection
        .write
        .write_all(message.as_bytes())
        .await
        .unwrap();
    connection.write.write_all(b"\n").await.unwrap();
    connection.write.flush().await.unwrap();
    let mut line = String::new();
    let mut lines = BufReader::new(&mut connection.read);
    lines.read_line(&mut line).await.unwrap();
    line
}

#[tokio::test]
async fn a_plugin_in_c_answers() {
    let source = std::fs::read_to_string(Path::new(EXAMPLE).join("slug.c")).unwrap();
    let Some(built) = build(&source) else { return };
    let mut connection = load(&built.path).unwrap().open("slug").unwrap();
    let call = r#"{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"slug","arguments":{"text":" A fine\n Day,\u00e9 ok! "}}}"#;
    let answer = in_time(ask(&mut connection, call)).await;
    assert!(answer.contains(r#""text":"a-fine-day-ok""#), "{answer}");
    assert!(
        answer.starts_with(r#"{"jsonrpc":"2.0","id":"a""#),
        "{answer}"
    );
    let unknown = in_time(ask(
        &mut connection,
        r#"{"id":1,"method":"server/discover"}"#,
    ))
    .await;
    assert!(unknown.contains("-32601"), "{unknown}");
}

#[tokio::test]
async fn only_the_pinned_file_is_loaded() {
    let Some(built) = build(ECHO) else { return };
    let wrong = "0".repeat(64);
    let refused = NativeLibrary::load(&built.path, &wrong)
        .err()
        .unwrap()
        .to_string();
    assert!(
        refused.contains(&wrong) && refused.contains(&sha256(&built.path)),
        "{refused}"
    );
    // What is changed after the check changes nothing: a copy is loaded.
    let library = load(&built.path).unwrap();
    std::fs::write(&built.path, b"something else").unwrap();
    let mut connection = library.open("echo").unwrap();
    assert_eq!(in_time(ask(&mut connection, "[1]")).await, "[1]\n");
}

#[test]
fn what_is_no_plugin_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.so");
    std::fs::write(&text, "no library").unwrap();
    let error = |path: &Path| load(path).err().unwrap().to_string();
    assert!(
        error(&text).contains("cannot be loaded"),
        "{}",
        error(&text)
    );
    let missing = NativeLibrary::load(&folder.path().join("missing.so"), "")
        .err()
        .unwrap();
    assert!(missing.to_string().contains("missing.so"), "{missing}");
    let directory = NativeLibrary::load(folder.path(), "").err().unwrap();
    assert!(
        matches!(directory, LibraryError::Read { .. }),
        "{directory}"
    );
    for (source, reason) in [
        (
            NO_PLUGIN,
            "it has no symbol `pullwright_plugin_abi_version`",
        ),
        (OTHER_VERSION, "was made for version 77"),
    ] {
        let Some(built) = build(source) else { return };
        assert!(
            error(&built.path).contains(reason),
            "{}",
            error(&built.path)
        );
    }
    let Some(built) = build(REFUSES) else { return };
    let refused = load(&built.path).unwrap().open("stubborn").err().unwrap();
    assert!(
        refused.to_string().contains("`stubborn` did not start"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_floods_and_goes_on_after_its_end_harms_nobody() {
    let Some(built) = build(HOSTILE) else { return };
    let library = load(&built.path).unwrap();
    let mut connection = library.open("hostile").unwrap();
    let refused = connection.write.write_all(b"{}\n").await;
    assert!(refused.is_err(), "an answer that is none closes the pipe");
    let mut lines = BufReader::new(&mut connection.read).lines();
    in_time(lines.next_line()).await.unwrap().unwrap();
    drop(connection);
    // Its threads still talk to what is there no more.
    let mut again = library.open("hostile").unwrap();
    let mut rest = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut again.read, &mut rest);
    in_time(read).await.unwrap();
    assert!(!rest.windows(4).any(|window| window == b"late"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_to_a_plugin_without_room_or_a_reader_without_time() {
    const COUNT: usize = 2000;
    let Some(built) = build(ECHO) else { return };
    let connection = load(&built.path).unwrap().open("echo").unwrap();
    let LibraryConnection {
        read,
        mut write,
        guard,
    } = connection;
    let long = "x".repeat(10_000);
    let writing = tokio::spawn(async move {
        for number in 0..COUNT {
            let line = format!("{number} {long}\n");
            write.write_all(line.as_bytes()).await.unwrap();
        }
        write.flush().await.unwrap();
        write
    });
    let mut lines = BufReader::new(read).lines();
    for number in 0..COUNT {
        let line = in_time(lines.next_line()).await.unwrap().unwrap();
        assert!(
            line.starts_with(&format!("{number} ")),
            "{number}: {}",
            &line[..20]
        );
    }
    drop((in_time(writing).await.unwrap(), guard));
}

#[test]
fn the_header_says_what_the_types_say() {
    let folder = tempfile::tempdir().unwrap();
    let (file, program) = (folder.path().join("layout.c"), folder.path().join("layout"));
    std::fs::write(
        &file,
        r#"
#include "pullwright_plugin.h"
#include <stdio.h>
int main(void) {
    printf("%u %u %d %d %d %zu %zu %zu %zu", PULLWRIGHT_ABI_VERSION, PULLWRIGHT_MAX_MESSAGE_BYTES,
        PULLWRIGHT_TAKEN, PULLWRIGHT_FULL, PULLWRIGHT_CLOSED, sizeof(pullwright_host),
        offsetof(pullwright_host, context), offsetof(pullwright_host, on_message),
        offsetof(pullwright_host, on_closed));
    return 0;
}
"#,
    )
    .unwrap();
    let Some(()) = compile(&[], &file, &program) else {
        return;
    };
    let printed = Command::new(program).output().unwrap().stdout;
    let expected = [
        abi::ABI_VERSION as usize,
        abi::MAX_MESSAGE_BYTES,
        abi::TAKEN as usize,
        abi::FULL as usize,
        abi::CLOSED as usize,
        size_of::<abi::Host>(),
        std::mem::offset_of!(abi::Host, context),
        std::mem::offset_of!(abi::Host, on_message),
        std::mem::offset_of!(abi::Host, on_closed),
    ];
    let expected = expected.map(|number| number.to_string()).join(" ");
    assert_eq!(String::from_utf8(printed).unwrap(), expected);
}

/// Whatever a plugin in C is told, it stays alive, and so does its host.
#[test]
fn garbage_harms_no_side() {
    let source = std::fs::read_to_string(Path::new(EXAMPLE).join("slug.c")).unwrap();
    let Some(built) = build(&source) else { return };
    let library = load(&built.path).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let message = prop_oneof![
        any::<Vec<u8>>(),
        r#"[\[\]{}",:\\a-z0-9 ]{0,60}"#.prop_map(String::into_bytes),
        r#"\{"id":[0-9]{1,3},"method":"tools/call","params":[\[\]{}",:\\a-z0-9 ]{0,60}\}"#
            .prop_map(String::into_bytes),
    ];
    proptest!(ProptestConfig::with_cases(500), |(mut message in message)| {
        message.retain(|byte| *byte != b'\n');
        runtime.block_on(async {
            let mut connection = library.open("slug").unwrap();
            connection.write.write_all(&message).await.unwrap();
            connection.write.write_all(b"\n").await.unwrap();
            let ping = r#"{"jsonrpc":"2.0","id":"last","method":"ping"}"#;
            let mut answer = in_time(ask(&mut connection, ping)).await;
            if !answer.contains("\"last\"") {
                answer = in_time(ask(&mut connection, ping)).await;
            }
            assert!(answer.contains("\"last\""), "{answer}");
        });
    });
}

/// Loads a plugin and passes on every line of its input, as bare as can be.
const DRIVER: &str = r#"
#include "pullwright_plugin.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static size_t heard;
static int on_message(void *context, const uint8_t *message, size_t length) {
    (void)context;
    uint8_t *copy = malloc(length + 1);
    memcpy(copy, message, length);
    heard += length;
    free(copy);
    return PULLWRIGHT_TAKEN;
}
static void on_closed(void *context) { (void)context; }
int main(int count, char **arguments) {
    if (count != 2) return 2;
    void *library = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
    if (!library) { fprintf(stderr, "%s\n", dlerror()); return 3; }
    void *(*open)(const pullwright_host *);
    int (*send)(void *, const uint8_t *, size_t);
    void (*close)(void *);
    *(void **)&open = dlsym(library, "pullwright_plugin_open");
    *(void **)&send = dlsym(library, "pullwright_plugin_send");
    *(void **)&close = dlsym(library, "pullwright_plugin_close");
    pullwright_host host = { NULL, on_message, on_closed };
    void *instance = open(&host);
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    while ((length = getline(&line, &room, stdin)) > 0) {
        /* A copy of just the message, so that reading beyond it is seen. */
        uint8_t *message = malloc((size_t)length - 1);
        memcpy(message, line, (size_t)length - 1);
        send(instance, message, (size_t)length - 1);
        free(message);
    }
    free(line);
    close(instance);
    return heard > 0 ? 0 : 4;
}
"#;

/// The example in C reads no byte beyond a message, writes none beyond its own, and keeps none.
#[test]
fn valgrind_finds_nothing_in_the_example() {
    let found = Command::new("valgrind").arg("--version").output();
    if let Err(error) = found {
        eprintln!("SKIPPED: the example in C under valgrind: it is not installed: {error}");
        return;
    }
    let source = std::fs::read_to_string(Path::new(EXAMPLE).join("slug.c")).unwrap();
    let Some(built) = build(&source) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (file, driver) = (folder.path().join("driver.c"), folder.path().join("driver"));
    std::fs::write(&file, DRIVER).unwrap();
    let Some(()) = compile(&["-rdynamic"], &file, &driver) else {
        return;
    };
    let messages = folder.path().join("messages");
    std::fs::write(&messages, broken_messages()).unwrap();
    let checked = Command::new("valgrind")
        .args(["--quiet", "--leak-check=full", "--error-exitcode=99"])
        .args([&driver, &built.path])
        .stdin(std::fs::File::open(&messages).unwrap())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{}\n{said}", checked.status);
}

/// A good message, and the same cut off at every byte, and with every byte another one.
fn broken_messages() -> Vec<u8> {
    let good = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"slug","arguments":{"text":"A \u00e9 \"day\" \\ ok"}}}"#;
    let mut messages = [good.as_slice(), b"\n"].concat();
    for at in 0..good.len() {
        messages.extend_from_slice(&good[..at]);
        messages.push(b'\n');
        for other in [b'"', b'\\', b'{', b'}', b'[', b',', b':', 0, 0xff, b' '] {
            let mut message = good.to_vec();
            message[at] = other;
            messages.extend(message);
            messages.push(b'\n');
        }
    }
    messages
}
