//! The variables every command gets: nothing may wait for a person.

/// What an editor does where nobody can type: it says so and fails.
const NO_EDITOR: &str = "sh -c 'echo \"there is no editor here: give the text on the command line, such as git commit -m\" >&2; exit 1' --";

/// What vi does once it has run its `-c` commands: without this it waits for keys on standard error.
const NO_KEYS: &str = "autocmd VimEnter * cquit";

/// Variables that are set, whatever the surroundings say.
///
/// `CI` is not among them: it makes package managers refuse to change lock files, which is part of
/// the work here.
pub(crate) const SET: [(&str, &str); 21] = [
    ("COMPOSER_NO_INTERACTION", "1"),
    ("DEBIAN_FRONTEND", "noninteractive"),
    ("EDITOR", NO_EDITOR),
    ("GCM_INTERACTIVE", "never"),
    ("GH_PAGER", "cat"),
    ("GH_PROMPT_DISABLED", "1"),
    ("GIT_ASKPASS", "false"),
    ("GIT_EDITOR", NO_EDITOR),
    ("GIT_MERGE_AUTOEDIT", "no"),
    ("GIT_PAGER", "cat"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("MANPAGER", "cat"),
    ("NO_COLOR", "1"),
    ("PAGER", "cat"),
    ("PIP_NO_INPUT", "1"),
    ("SSH_ASKPASS", "false"),
    ("SSH_ASKPASS_REQUIRE", "force"),
    ("SYSTEMD_PAGER", "cat"),
    ("TERM", "dumb"),
    ("VIMINIT", NO_KEYS),
    ("VISUAL", NO_EDITOR),
];

/// Variables that make a shell read a file before the command.
pub(crate) const UNSET: [&str; 2] = ["BASH_ENV", "ENV"];
