//! `relax config show|schema`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use relax_lab::vae::{VaeConfig, is_vae_config};
use relax_runtime::Error;
use relax_runtime::config::{first_paragraph, read_text, schema_of};
use relax_training::config::{Config, json_schema};
use serde_json::Value;

use super::args::{SetArgs, named};
use super::output;

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print a configuration with every default and --set filled in
    #[command(after_help = "\
Examples:
  relax config show --env Pendulum-v1 --agent ddpg
  relax config show configs/cartpole-relax.toml --set learner.gamma=0.98 > mine.toml")]
    Show(ConfigShowArgs),
    /// Explain every key of configurations: its meaning, type and default
    #[command(after_help = "\
Examples:
  relax config schema | less
  relax config schema --json > schema.json          (for editors, which complete and check TOML with it)")]
    Schema {
        /// As a JSON schema, for programs
        #[arg(long)]
        json: bool,
        /// Of the configurations of `relax vae`
        #[arg(long)]
        vae: bool,
        /// Of the configurations of this agent; without it, the keys of all agents
        #[arg(long, value_name = "KIND", conflicts_with = "vae")]
        agent: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(super) struct ConfigShowArgs {
    /// The configuration, a TOML file; not needed with --env
    #[arg(required_unless_present = "env")]
    config: Option<PathBuf>,
    /// The environment; short for --set env.id=ID
    #[arg(long, value_name = "ID")]
    env: Option<String>,
    /// The algorithm [default without a configuration: relax-a2c]; short for --set agent.kind=KIND
    #[arg(long, value_name = "KIND")]
    agent: Option<String>,
    #[command(flatten)]
    set: SetArgs,
}

pub(super) fn run(command: &ConfigCommand) -> Result<ExitCode, Error> {
    match command {
        ConfigCommand::Show(args) => show(args),
        ConfigCommand::Schema { json, vae, agent } => schema(*json, *vae, agent.as_deref()),
    }
}

fn show(args: &ConfigShowArgs) -> Result<ExitCode, Error> {
    let mut overrides = named(args.env.as_deref(), args.agent.as_deref(), args.config.is_none());
    overrides.extend(args.set.set.iter().cloned());
    let text = match &args.config {
        Some(path) if is_vae_config(&read_text(path)?) => VaeConfig::load(path, &overrides)?.to_toml(),
        Some(path) => Config::load(path, &overrides)?.to_toml(),
        None => Config::from_toml("", "arguments", &overrides)?.to_toml(),
    };
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn schema(json: bool, vae: bool, agent: Option<&str>) -> Result<ExitCode, Error> {
    let schema = if vae { schema_of::<VaeConfig>() } else { json_schema(agent)? };
    let text = if json {
        format!("{schema:#}\n")
    } else {
        let mut text = String::new();
        explain(&schema, &schema, "", &mut text);
        return output::tell(&text).map(|()| ExitCode::SUCCESS);
    };
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// The keys of `section` as TOML with their defaults, each below what it means; first its own, then those of its sections.
fn explain(root: &Value, section: &Value, path: &str, text: &mut String) {
    let Some(properties) = resolve(root, section).get("properties").and_then(Value::as_object) else {
        return;
    };
    let is_section = |property: &Value| resolve(root, property).get("properties").is_some();
    for (name, property) in properties.iter().filter(|(_, property)| !is_section(property)) {
        let meaning = description(root, property);
        let _ = writeln!(
            text,
            "# {}{}({})",
            meaning,
            if meaning.is_empty() { "" } else { " " },
            kind(root, property)
        );
        let _ = match property.get("default").filter(|default| !default.is_null()) {
            Some(default) => writeln!(text, "{name} = {default}\n"),
            None => writeln!(text, "# {name} =\n"),
        };
    }
    for (name, property) in properties.iter().filter(|(_, property)| is_section(property)) {
        let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let _ = writeln!(text, "# {}\n[{inner}]\n", description(root, property));
        explain(root, property, &inner, text);
    }
}

/// The first paragraph of what `property` means.
fn description(root: &Value, property: &Value) -> String {
    let own = property.get("description").or_else(|| resolve(root, property).get("description"));
    own.and_then(Value::as_str).map(first_paragraph).unwrap_or_default()
}

/// What may stand behind the equals sign.
fn kind(root: &Value, property: &Value) -> String {
    let property = resolve(root, property);
    if let Some(value) = property.get("const") {
        return value.to_string();
    }
    if let Some(values) = property.get("enum").and_then(Value::as_array) {
        return values.iter().map(Value::to_string).collect::<Vec<_>>().join(" | ");
    }
    let choices = ["oneOf", "anyOf"].iter().find_map(|name| property.get(*name)?.as_array());
    let names: Vec<String> = match (choices, property.get("type")) {
        (Some(choices), _) => choices.iter().map(|choice| kind(root, choice)).collect(),
        (None, Some(Value::Array(names))) => names.iter().map(word).collect(),
        (None, Some(name)) => vec![word(name)],
        (None, None) => vec!["any value".to_owned()],
    };
    let mut found: Vec<String> = Vec::new();
    for name in names.into_iter().filter(|name| !name.is_empty() && name != "nothing") {
        if !found.contains(&name) {
            found.push(name);
        }
    }
    found.join(" | ")
}

/// A JSON type in words.
fn word(name: &Value) -> String {
    match name.as_str() {
        Some("integer") => "whole number",
        Some("string") => "text",
        Some("boolean") => "true | false",
        Some("array") => "list",
        Some("object") => "table",
        Some("null") => "nothing",
        Some(other) => other,
        None => "any value",
    }
    .to_owned()
}

/// The definition that `schema` refers to, or itself.
fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let reference = schema.get("$ref").and_then(Value::as_str);
    reference.and_then(|name| root.pointer(name.strip_prefix('#')?)).unwrap_or(schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_explanation_is_toml_with_every_default() {
        let agents = [None, Some("a2c"), Some("ddpg")].map(|agent| json_schema(agent).expect("a schema"));
        for schema in agents.into_iter().chain([schema_of::<VaeConfig>()]) {
            let mut text = String::new();
            explain(&schema, &schema, "", &mut text);
            let table: toml::Table = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
            assert!(table.contains_key("run") && !text.contains("| )"), "{text}");
        }
        let schema = json_schema(Some("a2c")).expect("a schema");
        let mut text = String::new();
        explain(&schema, &schema, "", &mut text);
        for part in ["[learner]", "gamma = ", "Discount factor", "(number)", "(whole number)"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
