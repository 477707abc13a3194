//! The code of Modal's wire is what the definitions say, and the definitions are what Modal's own client
//! says.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Writes the code instead of comparing it.
const WRITE: &str = "PULLWRIGHT_WRITE_WIRE";

const FILES: [&str; 2] = ["modal.client.rs", "modal.task_command_router.rs"];

fn crate_path(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn definitions() -> prost_types::FileDescriptorSet {
    let proto = crate_path("proto");
    let files = ["api", "task_command_router"].map(|name| format!("modal_proto/{name}.proto"));
    protox::compile(files, [proto]).unwrap()
}

#[test]
fn the_code_is_what_the_definitions_say() {
    let made = tempfile::tempdir().unwrap();
    let server = "#[cfg(feature = \"modal-server\")]";
    tonic_prost_build::configure()
        .out_dir(made.path())
        .build_transport(false)
        .bytes(".")
        .server_mod_attribute("modal.client", server)
        .server_mod_attribute("modal.task_command_router", server)
        .compile_fds(definitions())
        .unwrap();
    for file in FILES {
        let made = fs::read_to_string(made.path().join(file)).unwrap();
        // Clippy does not take it, and our names need none.
        let made = made.replace("#[allow(non_camel_case_types)]", "");
        let kept = crate_path("src/modal/wire").join(file);
        if std::env::var_os(WRITE).is_some() {
            fs::write(&kept, &made).unwrap();
        }
        let kept = fs::read_to_string(kept).unwrap_or_default();
        assert!(
            made == kept,
            "{file} is not up to date; run this with {WRITE}=1"
        );
    }
}

/// Each field we declare, as the descriptors of the client have it.
const COMPARE: &str = r#"
import sys
from google.protobuf import descriptor_pb2
from modal_proto import api_pb2, task_command_router_pb2

ours = descriptor_pb2.FileDescriptorSet.FromString(sys.stdin.buffer.read())
theirs = {}
for module in (api_pb2, task_command_router_pb2):
    file = descriptor_pb2.FileDescriptorProto()
    module.DESCRIPTOR.CopyToProto(file)
    theirs[file.name] = file

compared = 0

def fail(what):
    sys.exit("Modal's own client has it otherwise: " + what)

def by_name(things):
    return {thing.name: thing for thing in things}

def field(one, message):
    oneof = message.oneof_decl[one.oneof_index].name if one.HasField("oneof_index") else None
    return (one.number, one.type, one.label, one.type_name, oneof, one.proto3_optional)

def messages(mine, other, path):
    global compared
    known = by_name(other)
    for message in mine:
        where = f"{path}.{message.name}"
        if message.name not in known:
            fail(where)
        real = known[message.name]
        fields = by_name(real.field)
        for one in message.field:
            if one.name not in fields or field(one, message) != field(fields[one.name], real):
                fail(f"{where}.{one.name}")
            compared += 1
        enums(message.enum_type, real.enum_type, where)
        messages(message.nested_type, real.nested_type, where)

def enums(mine, other, path):
    known = by_name(other)
    for enum in mine:
        real = {value.name: value.number for value in known[enum.name].value}
        for value in enum.value:
            if real.get(value.name) != value.number:
                fail(f"{path}.{enum.name}.{value.name}")

for file in ours.file:
    if not file.name.startswith("modal_proto/"):
        continue
    other = theirs[file.name]
    messages(file.message_type, other.message_type, file.package)
    enums(file.enum_type, other.enum_type, file.package)
    for service in file.service:
        calls = by_name(by_name(other.service)[service.name].method)
        for call in service.method:
            real = calls[call.name]
            mine = (call.input_type, call.output_type, call.client_streaming, call.server_streaming)
            if mine != (real.input_type, real.output_type, real.client_streaming, real.server_streaming):
                fail(call.name)
            compared += 1
print(compared)
"#;

#[test]
fn the_definitions_are_what_modal_s_own_client_says() {
    let Some(python) = crate::modal::python("the definitions against Modal's own client") else {
        return;
    };
    let mut child = Command::new(python)
        .args(["-c", COMPARE])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let ours = prost::Message::encode_to_vec(&definitions());
    child.stdin.take().unwrap().write_all(&ours).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let compared: usize = String::from_utf8(output.stdout)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    assert!(compared > 200, "{compared}");
}
