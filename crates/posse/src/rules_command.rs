//! `posse rules …`: what detection is made of, whether it loads, and whether it does what it says.

use std::io::Write;

use anyhow::{Result, anyhow};
use serde_json::json;

use crate::{
    cli::RulesCommand,
    config::Config,
    content::{self, Content},
    exit::Exit,
    import::{self, Switch},
};

pub(crate) fn run(command: &RulesCommand, out: &mut dyn Write) -> Result<Exit> {
    match command {
        RulesCommand::List { dir, json } => {
            let content = match dir {
                Some(dir) => content::load_folder(Some(dir))?,
                None => content::load(&Config::load(None).map_err(|d| anyhow!("{d}"))?.rules)?,
            };
            list(&content, *json, out)
        }
        RulesCommand::Import(arguments) => import::import(arguments, out),
        RulesCommand::Refresh(arguments) => import::refresh(arguments, out),
        RulesCommand::Enable(arguments) => import::switch(arguments, Switch::On, out),
        RulesCommand::Disable(arguments) => import::switch(arguments, Switch::Off, out),
        RulesCommand::Check { dir } => check(&content::load_folder(Some(dir))?, out),
        RulesCommand::Lint { dir, json } => crate::rules_lint::run(dir.as_deref(), *json, out),
        RulesCommand::Test(arguments) => crate::rules_test::run(arguments, out),
        RulesCommand::Explain(arguments) => crate::explain::run(arguments, out),
    }
}

fn list(content: &Content, as_json: bool, out: &mut dyn Write) -> Result<Exit> {
    for rule in content.rules.entries() {
        let kind = format!("{:?}", rule.kind).to_lowercase();
        let origin = import::origin_of(&rule.file);
        if as_json {
            let line = json!({
                "kind": kind, "name": rule.name, "origin": origin, "file": rule.file,
                "description": rule.description, "sha256": rule.hash,
            });
            writeln!(out, "{line}")?;
        } else {
            writeln!(
                out,
                "{kind:<13} {origin:<9} {:<40} {}",
                rule.name, rule.description
            )?;
        }
    }
    Ok(Exit::Success)
}

fn check(content: &Content, out: &mut dyn Write) -> Result<Exit> {
    for diagnostic in &content.diagnostics {
        writeln!(out, "{diagnostic}")?;
    }
    let (loaded, errors) = (content.rules.entries().len(), content.errors());
    writeln!(out, "{loaded} rules load, {errors} mistakes")?;
    Ok(if errors == 0 {
        Exit::Success
    } else {
        Exit::Usage
    })
}
