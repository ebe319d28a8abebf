//! `init`: a data directory with a device key and a commented configuration.

use std::path::Path;

use serde_json::json;
use strandline::config::{self, Settings};
use strandline::identity::{self, Identity};

use super::Global;
use super::failure::{EXIT_CONFLICT, Failure};
use super::output::{print_json, print_line};

#[derive(clap::Args)]
#[command(after_help = "\
The device key (identity.key) is this device: whoever holds it can sign as it, and nobody can make it again.

Example:
  strandline init --name truck-17
  strandline --data /mnt/usb/replica init")]
pub(crate) struct InitArguments {
    /// What people call this device [default: the host's name]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

pub(crate) fn run(global: &Global, arguments: &InitArguments) -> Result<(), Failure> {
    let data = global.data_dir()?;
    let device = create(&data, arguments.name.as_deref())?;
    if global.json {
        return print_json(
            &json!({ "device": device, "data": data, "config": data.join(config::FILE_NAME) }),
        );
    }
    print_line(&format!("device {device}"))?;
    print_line(&format!("data   {}", data.display()))?;
    print_line(&format!("next   strandline --data {} serve", data.display()))
}

/// Makes the directory's key and configuration; the device's id.
pub(crate) fn create(data: &Path, name: Option<&str>) -> Result<String, Failure> {
    let identity = Identity::create(data).map_err(|error| {
        let exists = matches!(error, identity::Error::Exists { .. });
        let failure = Failure::failed("identity", error.to_string());
        if exists {
            let serve = format!("strandline --data {} serve", data.display());
            return Failure { exit: EXIT_CONFLICT, kind: "initialised".to_string(), ..failure.cure(serve) };
        }
        failure
    })?;
    let path = data.join(config::FILE_NAME);
    // A configuration that came with the machine is the owner's, and stays.
    if !path.exists() {
        std::fs::write(&path, Settings::default_text(name))
            .map_err(|error| Failure::file("write", &path, &error))?;
    }
    Ok(identity.device().to_string())
}
