//! `amlrun environment create`: registers an environment from a file, or from options.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use super::shown::registered;
use crate::cli::component::{accepted, changed_text};
use crate::cli::datastore::create::strings;
use crate::cli::format::Format;
use crate::cli::printer::Printer;
use crate::environment::managed::conda;
use crate::error::Failed;
use crate::language::{Kind, Target, tidy};
use crate::registry::EnvironmentStore;
use crate::registry::copies::Registered;
use crate::registry::environment::NewEnvironment;
use crate::registry::footprint::Footprint;
use crate::runner::environments;
use crate::runner::project::Project;
use crate::spec::environment::Environment;
use crate::yaml::overrides::Override;

/// What `environment create` takes.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("content").required(true).multiple(true))]
pub(in crate::cli) struct Create {
    /// YAML file of the environment
    #[arg(short, long, group = "content")]
    file: Option<PathBuf>,

    /// Name of the environment [default: 'name' in the file]
    #[arg(short, long, required_unless_present = "file")]
    name: Option<String>,

    /// Version of the environment [default: 'version' in the file, else the next number]
    #[arg(short, long)]
    version: Option<String>,

    /// Container image
    #[arg(short, long, group = "content", conflicts_with = "file")]
    image: Option<String>,

    /// Conda file with the packages
    #[arg(short, long, value_name = "FILE", conflicts_with = "file")]
    conda_file: Option<PathBuf>,

    /// Folder to build a container image from
    #[arg(short, long, value_name = "DIR", group = "content", conflicts_with_all = ["image", "file"])]
    build_context: Option<PathBuf>,

    /// Dockerfile, relative to the build context [default: Dockerfile]
    #[arg(long, value_name = "FILE", requires = "build_context")]
    dockerfile_path: Option<String>,

    /// Description of the environment [default: 'description' in the file]
    #[arg(short, long)]
    description: Option<String>,

    /// Override values of the file, for example version=2
    #[arg(long, value_name = "PATH=VALUE", requires = "file")]
    set: Vec<Override>,

    #[command(flatten)]
    pub format: Format,
}

impl Create {
    /// Registers the environment in the workspace of its file, and returns its record.
    pub(super) fn register(&self, project: &Project, printer: &Printer) -> Result<Json, Failed> {
        match &self.file {
            Some(file) => self.add(file, None, project, printer),
            None => self.register_options(project, printer),
        }
    }

    /// The options that take precedence over the fields of a file.
    fn overrides(&self) -> Vec<Override> {
        let given = [("name", &self.name), ("version", &self.version), ("description", &self.description)];
        let given = given
            .into_iter()
            .filter_map(|(key, value)| Some(Override { keys: vec![key.to_owned()], value: value.clone()? }));
        self.set.iter().cloned().chain(given).collect()
    }

    /// The options as the text of a file. JSON is YAML.
    fn text(&self) -> String {
        let path = |path: &Option<PathBuf>| path.as_deref().map(|path| path.display().to_string());
        let build = self.build_context.as_deref().map(|folder| {
            let dockerfile = self.dockerfile_path.as_deref().unwrap_or("Dockerfile");
            json!({"path": folder.display().to_string(), "dockerfile_path": dockerfile})
        });
        let fields = [
            ("name", self.name.clone().map(Json::from)),
            ("version", self.version.clone().map(Json::from)),
            ("image", self.image.clone().map(Json::from)),
            ("conda_file", path(&self.conda_file).map(Json::from)),
            ("build", build),
            ("description", self.description.clone().map(Json::from)),
        ];
        let given = fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
        Json::Object(given.collect()).to_string()
    }

    /// Registers what the options say, as if it were in the file `environment.yml` of the current folder.
    fn register_options(&self, project: &Project, printer: &Printer) -> Result<Json, Failed> {
        let unwritable = |error| Failed::new(format!("cannot write a file in the current folder: {error}"));
        // Relative paths start in the folder of the file.
        let mut file =
            tempfile::Builder::new().prefix(".environment-").suffix(".yml").tempfile_in(".").map_err(unwritable)?;
        file.write_all(self.text().as_bytes()).map_err(unwritable)?;
        self.add(file.path(), Some(("environment.yml", self.text())), project, printer)
    }

    /// Registers a file. `copy` is the name and the text of its copy, if these differ.
    fn add(
        &self,
        file: &Path,
        copy: Option<(&str, String)>,
        project: &Project,
        printer: &Printer,
    ) -> Result<Json, Failed> {
        let set = if copy.is_none() { self.overrides() } else { Vec::new() };
        let checked = project.check(file, &set, Target::Local, Some(Kind::Environment));
        let environment = accepted(checked, printer)?;
        let field = |field: &str| environment.written(field).filter(|text| !text.is_empty());
        let home = project.home_of(file);
        home.create()?;
        let mut path = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        let mut footprint = Footprint::of_environment(&path, &environment, home.root())?;
        // What the conda file installs from beside it comes along.
        if let Some(Environment::Inline { conda: Some(conda), .. }) = environments::read(file)
            && let Ok(definition) = conda::read(&conda.text, &conda.folder)
        {
            for place in definition.local.iter().chain(&definition.files) {
                footprint.include(place, home.root())?;
            }
        }
        let mut text = changed_text(file, &self.set)?;
        if let Some((name, own)) = copy {
            footprint.files.remove(&tidy(&path));
            path.set_file_name(name);
            footprint.files.insert(tidy(&path));
            text = Some(own);
        }
        let new = NewEnvironment {
            name: field("name").unwrap_or_default(),
            version: field("version"),
            description: field("description"),
            tags: strings(&environment, "tags"),
            image: field("image"),
            file: path,
            text,
        };
        let store = EnvironmentStore::at(home.environments());
        Ok(match store.add(&new, &footprint)? {
            Registered::New(record) => registered(&record, &store),
            Registered::Same(record) => {
                let id = format!("{}:{}", record.name, record.version);
                printer
                    .err(&format!("the environment '{id}' is already registered with this content: nothing changed\n"));
                registered(&record, &store)
            }
        })
    }
}
