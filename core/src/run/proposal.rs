//! What a pull request is opened with, beside its summary and its evidence.

use pullwright_protocol::Stage;

use super::Run;
use crate::agent::Halt;
use crate::source::Base;

/// How many paths of a repository are looked through for a template.
const MAX_PATHS: usize = 20_000;

/// How much of a template is read, in bytes: a longer one is no form that anybody fills in.
const MAX_TEMPLATE_BYTES: usize = 16 * 1024;

/// Where GitHub looks for a template, the first place first.
const TEMPLATE_FOLDERS: &[&str] = &[".github/", "", "docs/"];
const TEMPLATE_NAMES: &[&str] = &["pull_request_template.md", "pull_request_template.txt"];

impl Run<'_> {
    /// The template of a description that the repository has at the base commit. One that cannot be read
    /// is none: a pull request is worth more than its form.
    pub(super) async fn template(&self, base: &Base) -> Option<String> {
        match self.read_template(base).await {
            Ok(template) => template,
            Err(halt) => {
                let message = format!("going on without the pull request template: {halt}");
                self.status(Stage::Publish, message).await;
                None
            }
        }
    }

    async fn read_template(&self, base: &Base) -> Result<Option<String>, Halt> {
        let files = &self.parts.files;
        let paths = files.paths(base, MAX_PATHS).await?;
        let Some(path) = template_path(&paths) else {
            return Ok(None);
        };
        let bytes = files.read(base, path, MAX_TEMPLATE_BYTES + 1).await?;
        let fits = bytes.filter(|bytes| bytes.len() <= MAX_TEMPLATE_BYTES);
        Ok(fits.and_then(|bytes| String::from_utf8(bytes).ok()))
    }
}

/// The template among the paths, in whatever case it is written.
fn template_path(paths: &[String]) -> Option<&String> {
    let places = TEMPLATE_FOLDERS.iter().flat_map(|folder| {
        TEMPLATE_NAMES
            .iter()
            .map(move |name| format!("{folder}{name}"))
    });
    places.into_iter().find_map(|place| {
        let mut found = paths.iter();
        found.find(|path| path.eq_ignore_ascii_case(&place))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_found_in_any_case_and_in_order() {
        let paths =
            |list: &[&str]| -> Vec<String> { list.iter().map(|path| (*path).to_owned()).collect() };
        let all = paths(&[
            ".github/PULL_REQUEST_TEMPLATE.md",
            "docs/pull_request_template.md",
            "Pull_Request_Template.md",
        ]);
        assert_eq!(template_path(&all), Some(&all[0]));
        assert_eq!(template_path(&all[1..]), Some(&all[2]));
        assert_eq!(template_path(&all[1..2]), Some(&all[1]));
        let none = paths(&[
            "src/pull_request_template.md",
            ".github/PULL_REQUEST_TEMPLATE/a.md",
        ]);
        assert_eq!(template_path(&none), None);
    }
}
