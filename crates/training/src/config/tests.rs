//! Reading, overriding and refusing, on the configurations of training.

mod reading {
    use std::path::Path;

    use crate::config::Config;

    const SMALL: &str = "[env]\nid = \"CartPole-v1\"\n\n[agent]\nkind = \"relax-a2c\"\n";

    fn refuse(text: &str, overrides: &[&str]) -> (String, String) {
        let overrides: Vec<String> = overrides.iter().map(|&one| one.to_owned()).collect();
        let error = Config::from_toml(text, "x.toml", &overrides).expect_err(text);
        (error.to_string(), error.hint().unwrap_or_default().to_owned())
    }

    #[test]
    fn defaults_fill_what_is_left_out() {
        let config = Config::from_toml(SMALL, "x.toml", &[]).expect("valid");
        assert_eq!(config, Config::new("CartPole-v1", "relax-a2c").expect("an agent"));
        assert_eq!((config.rollout.envs, config.rollout.steps), (8, 32));
    }

    #[test]
    fn what_a_nested_table_leaves_out_is_the_agents_own() {
        let text = "env.id = 'Pendulum-v1'\nagent.kind = 'relax-ddpg'\nlearner.replay.batch_size = 7\n";
        let replay = &Config::from_toml(text, "x.toml", &[]).expect("valid").learner["replay"];
        assert_eq!((replay["batch_size"].as_integer(), replay["tau"].as_float()), (Some(7), Some(0.03)));
        assert_eq!(replay["updates_per_step"].as_float(), Some(0.3), "DDPG's is another");
        let schema = crate::config::json_schema(Some("relax-ddpg")).expect("an agent");
        let shown = &schema["properties"]["learner"]["properties"]["replay"]["properties"]["tau"]["default"];
        assert_eq!(shown.as_f64(), Some(0.03));
    }

    #[test]
    fn an_agent_that_learns_from_every_step_waits_for_it() {
        let of = |kind: &str, set: &str| {
            let text = format!("env.id = 'Pendulum-v1'\nagent.kind = '{kind}'\n");
            let config = Config::from_toml(&text, "x.toml", &[set.to_owned()]).expect("valid");
            (config.rollout.envs * config.rollout.steps, config.rollout.workers, config.run.log_every_updates)
        };
        assert_eq!((of("ddpg", "run.seed=1"), of("a2c", "run.seed=1")), ((1, 0, 100), (256, 1, 1)));
        assert_eq!(of("ddpg", "rollout.steps=16"), (16, 1, 1));
    }

    #[test]
    fn the_schema_of_an_agent_shows_the_rollout_that_it_has() {
        for spec in relax_agents::agent_specs() {
            let schema = crate::config::json_schema(Some(spec.name())).expect("an agent");
            let resolved = Config::new("gym:Unknown-v0", spec.name()).expect("valid").to_toml();
            let resolved: toml::Table = resolved.parse().expect("TOML");
            for (section, definition) in [("rollout", "RolloutConfig"), ("run", "RunConfig")] {
                for (key, value) in resolved[section].as_table().expect("a section") {
                    let shown = &schema["$defs"][definition]["properties"][key]["default"];
                    assert_eq!(*shown, serde_json::json!(value), "{section}.{key} of {}", spec.name());
                }
            }
        }
    }

    #[test]
    fn normalised_advantages_go_with_nothing_that_knows_their_size() {
        for (agent, key) in [("a2c", "baseline_window = 6"), ("relax-a2c", "control_variate = 'model'")] {
            let text = |normalize: bool| {
                format!(
                    "env.id = 'CartPole-v1'\nagent.kind = '{agent}'\nagent.{key}\nlearner.normalize_advantages = {normalize}"
                )
            };
            assert!(Config::from_toml(&text(false), "x.toml", &[]).is_ok());
            let refused = Config::from_toml(&text(true), "x.toml", &[]).expect_err("refused").to_string();
            assert!(refused.starts_with("x.toml:4: ") && refused.contains("does not go with"), "{refused}");
        }
    }

    #[test]
    fn a_critic_can_only_follow_scales_that_move() {
        for agent in ["a2c", "relax-a2c", "ppo"] {
            let read = |observations: bool, rewards: bool| {
                let text = format!(
                    "env.id = 'CartPole-v1'\nagent.kind = '{agent}'\nlearner.preserve_values = true\n\
                     learner.normalize_observations = {observations}\nlearner.normalize_rewards = {rewards}"
                );
                Config::from_toml(&text, "x.toml", &[])
            };
            assert!(read(true, false).is_ok() && read(false, true).is_ok());
            let refused = read(false, false).expect_err("nothing to follow").to_string();
            assert!(refused.starts_with("x.toml:3: ") && refused.contains("there are none"), "{refused}");
        }
    }

    #[test]
    fn the_resolved_configuration_reads_back_equal() {
        let mut config = Config::new("Acrobot-v1", "relax-a2c").expect("an agent");
        assert_eq!(Config::from_toml(&config.to_toml(), "again", &[]), Ok(config.clone()));
        config.agent.keys.insert("gain".into(), (0.1 + 0.2).into());
        config.agent.keys.insert("hidden".into(), vec![7].into());
        config.learner.insert("learning_rate".into(), (1.0 / 3.0).into());
        config.run.seed = i64::MAX as u64;
        config.env.max_episode_steps = Some(17);
        config.env.kwargs.insert("gravity".into(), relax_envs::Kwarg::Float(9.0));
        config.env.wrappers.push(relax_envs::WrapperConfig::FrameStack { size: 4 });
        assert_eq!(Config::from_toml(&config.to_toml(), "again", &[]), Ok(config));
    }

    #[test]
    fn overrides_win_over_the_file_and_later_ones_over_earlier_ones() {
        let sets =
            ["learner.gamma=0.5".to_owned(), "learner.gamma=0.25".to_owned(), "agent.gain=1.0".to_owned()];
        let config = Config::from_toml(SMALL, "x.toml", &sets).expect("valid");
        assert_eq!(config.learner["gamma"].as_float(), Some(0.25));
        assert_eq!(config.agent.keys["gain"].as_float(), Some(1.0));
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_the_nearest_valid_one() {
        let (message, hint) = refuse(&format!("{SMALL}\n[learner]\nlearning_rat = 1e-3\n"), &[]);
        assert_eq!(message, "x.toml:8: unknown key `learner.learning_rat`");
        assert_eq!(hint, "did you mean `learner.learning_rate`?");
        let (message, hint) = refuse(&format!("{SMALL}gamma = 0.9\n"), &[]);
        assert_eq!(message, "x.toml:6: unknown key `agent.gamma`");
        assert_eq!(hint, "did you mean `learner.gamma`?");
        let (message, _) = refuse(SMALL, &["learnr.gamma=0.9"]);
        assert_eq!(message, "--set learnr.gamma=0.9: unknown key `learnr.gamma`");
    }

    #[test]
    fn a_key_of_another_agent_is_refused_and_its_agents_named() {
        let (message, hint) =
            refuse(&SMALL.replace("relax-a2c", "a2c").replace("[agent]", "[agent]\ngain = 1"), &[]);
        assert_eq!(message, "x.toml:5: `agent.gain` is a key of relax-a2c and relax-ddpg, not of a2c");
        assert!(hint.contains("leave it out"), "{hint}");
        let (message, _) = refuse(SMALL, &["learner.replay.tau=0.5"]);
        assert!(
            message.contains("`learner.replay.tau` is a key of ddpg") && message.contains("not of relax-a2c"),
            "{message}"
        );
    }

    #[test]
    fn what_an_older_version_recorded_for_all_agents_is_read() {
        let text = format!(
            "{SMALL}baseline = \"value\"\n[agent.exploration]\nstd = 0.1\n[learner.replay]\ntau = 0.5\n"
        );
        assert!(Config::from_toml(&text, "x.toml", &[]).is_err());
        let config = Config::recorded(&text, "x.toml", &[]).expect("it reads");
        // There were no such keys.
        let then = ["learner.bounds_loss=0.0", "agent.encoder=mlp"].map(str::to_owned);
        assert_eq!(config, Config::from_toml(SMALL, "x.toml", &then).expect("valid"));
    }

    #[test]
    fn an_agent_brings_its_own_kind_of_rollout() {
        let config = Config::new("CartPole-v1", "reinforce").expect("an agent");
        assert!(config.rollout_shape().episodes);
        assert!(!Config::new("CartPole-v1", "a2c").expect("an agent").rollout_shape().episodes);
        assert!(Config::new("CartPole-v1", "a3c").is_err());
    }

    #[test]
    fn long_episodes_are_played_in_few_environments() {
        let envs = |id: &str, overrides: &[&str]| {
            let text = format!("[env]\nid = '{id}'\n[agent]\nkind = 'reinforce'\n");
            let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
            Config::from_toml(&text, "x.toml", &overrides).expect("valid").rollout.envs
        };
        let found = ["MountainCarContinuous-v0", "CartPole-v1", "Pendulum-v1", "TicTacToe-v0"]
            .map(|id| envs(id, &[]));
        assert_eq!(found, [1, 1, 2, 8]);
        assert_eq!(envs("CartPole-v1", &["env.max_episode_steps=100"]), 4);
        assert_eq!(envs("CartPole-v1", &["rollout.envs=3"]), 3);
        assert_eq!(Config::new("CartPole-v1", "a2c").expect("an agent").rollout.envs, 8);
    }

    #[test]
    fn ppo_looks_as_far_as_the_time_limit() {
        let gamma = |id: &str, kind: &str, overrides: &[&str]| {
            let text = format!("[env]\nid = '{id}'\n[agent]\nkind = '{kind}'\n");
            let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
            Config::from_toml(&text, "x.toml", &overrides).expect("valid").learner["gamma"].as_float()
        };
        let found = [
            "CartPole-v1",
            "Pendulum-v1",
            "MountainCarContinuous-v0",
            "gym:LunarLander-v3",
            "gym:Unknown-v0",
        ]
        .map(|id| gamma(id, "ppo", &[]));
        assert_eq!(found, [0.998, 0.995, 0.999, 0.999, 0.99].map(Some));
        assert_eq!(gamma("CartPole-v1", "ppo", &["env.max_episode_steps=50"]), Some(0.99));
        assert_eq!(gamma("CartPole-v1", "ppo", &["env.max_episode_steps=100000"]), Some(0.999));
        assert_eq!(gamma("CartPole-v1", "ppo", &["learner.gamma=0.9"]), Some(0.9));
        assert_eq!(gamma("CartPole-v1", "a2c", &[]), Some(0.99));
    }

    #[test]
    fn wrong_types_name_line_key_and_what_is_right() {
        let (message, hint) = refuse(&format!("{SMALL}[learner]\ngamma = \"x\"\n"), &[]);
        assert_eq!(message, "x.toml:7: `learner.gamma`: invalid type: string \"x\", expected a number");
        assert!(hint.contains("Discount factor"), "{hint}");
        let (message, hint) = refuse(SMALL, &["agent.kind=a2d"]);
        assert!(message.contains("agent.kind") && message.contains("`relax-a2c`"), "{message}");
        assert!(hint.contains("algorithm"), "{hint}");
        let (message, hint) = refuse(SMALL, &["agent.gain=big"]);
        assert!(message.contains("`agent.gain`"), "{message}");
        assert!(hint.contains("adaptive"), "{hint}");
        let (message, _) = refuse(SMALL, &["run.env_steps=-5"]);
        assert!(message.contains("a whole number"), "{message}");
        let (message, _) = refuse("learner = 3\n[env]\nid='x'\n[agent]\nkind='a2c'", &[]);
        assert!(message.starts_with("x.toml:1: `learner`"), "{message}");
    }

    #[test]
    fn arguments_and_wrappers_of_the_environment_are_read_and_checked() {
        let sets = ["env.kwargs.g=9.81", "env.wrappers=[{ name = \"FrameStack\", size = 2 }]"];
        let config = Config::from_toml(SMALL, "x.toml", &sets.map(str::to_owned)).expect("valid");
        assert_eq!(config.env.kwargs["g"], relax_envs::Kwarg::Float(9.81));
        assert_eq!(config.env.wrappers, [relax_envs::WrapperConfig::FrameStack { size: 2 }]);
        let (message, _) = refuse(SMALL, &["env.wrappers=[{ name = \"FrameStak\" }]"]);
        assert!(message.starts_with("--set env.wrappers=") && message.contains("`FrameStack`"), "{message}");
    }

    #[test]
    fn missing_keys_are_asked_for_with_an_example() {
        let (message, hint) = refuse("", &[]);
        assert!(message.contains("`env` is missing"), "{message}");
        assert!(hint.contains("id = "), "{hint}");
        let (message, hint) = refuse("[env]\nid='x'\n[agent]\nhidden=[3]\n", &[]);
        assert!(message.starts_with("x.toml:3: `agent.kind` is missing"), "{message}");
        assert!(hint.contains("relax-a2c"), "{hint}");
    }

    #[test]
    fn broken_toml_names_its_line() {
        let (message, hint) = refuse("[env]\nid = \n", &[]);
        assert!(message.starts_with("x.toml:2: not valid TOML"), "{message}");
        assert!(hint.contains("id ="), "{hint}");
    }

    #[test]
    fn files_that_are_no_configuration_are_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let message = |path: &Path| Config::load(path, &[]).expect_err("refused").to_string();
        assert!(message(folder.path()).contains("is a folder"));
        let binary = folder.path().join("cartpole-relax.toml");
        std::fs::write(&binary, [0xff, 0xfe, 0x00]).expect("write");
        assert!(message(&binary).contains("not a text file"));
        let error = Config::load(&folder.path().join("cartpole-relx.toml"), &[]).expect_err("missing");
        assert!(error.hint().is_some_and(|hint| hint.contains("cartpole-relax.toml")), "{:?}", error.hint());
    }
}

mod overriding {
    use relax_runtime::config::{Keys, Override};
    use toml::Value;

    use crate::config::{Config, check_resume_overrides};

    fn value(text: &str) -> Value {
        Override::parse(text, &Keys::of::<Config>()).expect(text).value
    }

    #[test]
    fn values_are_toml_and_bare_words_are_strings() {
        assert_eq!(value("learner.gamma=0.5"), Value::Float(0.5));
        assert_eq!(value("learner.learning_rate = 1e-3"), Value::Float(1e-3));
        assert_eq!(value("run.env_steps=1e6"), Value::Integer(1_000_000));
        assert_eq!(value("run.env_steps=1_000"), Value::Integer(1_000));
        assert_eq!(value("learner.anneal=true"), Value::Boolean(true));
        assert_eq!(value("agent.kind=relax-a2c"), Value::String("relax-a2c".into()));
        assert_eq!(value("agent.kind=\"a2c\""), Value::String("a2c".into()));
        assert_eq!(value("env.id=gym:CartPole-v1"), Value::String("gym:CartPole-v1".into()));
        assert_eq!(value("agent.hidden=[32, 16]"), Value::Array(vec![32.into(), 16.into()]));
    }

    #[test]
    fn nested_free_keys_make_their_tables() {
        let mut table = toml::Table::new();
        let one = Override::parse("env.kwargs.g=10", &Keys::of::<Config>()).expect("valid");
        one.apply(&mut table).expect("applies");
        assert_eq!(table["env"]["kwargs"]["g"], Value::Integer(10));
    }

    #[test]
    fn malformed_arguments_are_refused_with_a_hint() {
        for (text, hint) in [
            ("learner.gamma", "KEY=VALUE"),
            ("learner.gama=1", "learner.gamma"),
            ("=1", "relax config schema"),
            ("learner=1", "learner.KEY"),
            ("agent.hidden=[1,", "Widths"),
            ("agent.kind=", "algorithm"),
            ("run.seed=1\nrun.x=2", "random numbers"),
        ] {
            let error = Override::parse(text, &Keys::of::<Config>()).expect_err(text);
            assert!(
                error.hint().is_some_and(|found| found.contains(hint)),
                "{text}: {error} / {:?}",
                error.hint()
            );
            assert!(error.to_string().starts_with("--set "), "{error}");
        }
    }

    #[test]
    fn resuming_changes_only_what_leaves_the_experiment_the_same() {
        let check = |text: &str| check_resume_overrides(&[text.to_owned()]);
        assert!(check("run.env_steps=10").is_ok());
        assert!(check("rollout.workers=2").is_ok());
        for text in ["run.seed=2", "learner.gamma=0.9", "rollout.envs=9"] {
            assert!(check(text).expect_err(text).to_string().contains("cannot change"));
        }
    }
}

mod keys {
    use relax_runtime::config::Keys;

    use crate::config::Config;

    #[test]
    fn every_key_is_known_and_documented() {
        let keys = Keys::of::<Config>();
        for key in ["env.id", "agent.kind", "rollout.workers", "learner.gamma", "run.seed", "env.kwargs"] {
            assert!(keys.get(key).is_some(), "{key}");
        }
        for key in keys.names() {
            // Hints and `relax config schema` show the first paragraph, which is whole sentences then.
            let text = keys.describe(key).unwrap_or_default();
            assert!(text.len() > 5 && text.ends_with('.'), "{key} is documented by: {text}");
        }
        let several_lines = keys.describe("learner.bounds_loss").unwrap_or_default();
        assert!(several_lines.ends_with("are the same action; 0: none."), "{several_lines}");
        assert!(keys.is_integer("run.env_steps") && keys.is_integer("env.max_episode_steps"));
        assert!(!keys.is_integer("learner.gamma"));
        assert!(keys.is_section("learner") && !keys.is_section("env.kwargs"));
    }

    #[test]
    fn the_nearest_key_is_the_one_that_was_meant() {
        let keys = Keys::of::<Config>();
        assert_eq!(keys.nearest("learner.learning_rat"), Some("learner.learning_rate"));
        assert_eq!(keys.nearest("agent.gamma"), Some("learner.gamma"));
        assert_eq!(keys.nearest("rollout.learning_rate"), Some("learner.learning_rate"));
        assert_eq!(keys.nearest("lerner"), Some("learner"));
        assert_eq!(keys.nearest("rollout.worker"), Some("rollout.workers"));
        assert_eq!(keys.nearest("seed"), Some("run.seed"));
        assert_eq!(keys.nearest("zzzz.qqqq"), None);
        assert_eq!(keys.nearest("agent.clip_range"), Some("learner.clip"));
        assert_eq!(keys.nearest("agent.zzzz"), None, "alike is only the section");
    }

    #[test]
    fn a_key_of_an_earlier_version_is_refused_with_its_name_of_today_but_read_from_checkpoints() {
        let text = "[env]\nid = \"CartPole-v1\"\n[agent]\nkind = \"relax-a2c\"\nform = \"pure\"\n";
        let error = Config::from_toml(text, "x.toml", &[]).expect_err("refused");
        assert_eq!(error.to_string(), "x.toml:5: `agent.form` is called `agent.control_variate` now");
        let read = Config::recorded(text, "x", &[]).expect("read");
        assert_eq!(read.agent.keys.get("control_variate").and_then(toml::Value::as_str), Some("pure"));
    }

    #[test]
    fn what_an_environment_takes_is_left_to_it() {
        let keys = Keys::of::<Config>();
        assert!(keys.allows("env.kwargs.gravity"));
        assert!(!keys.allows("env.gravity"));
        assert!(!keys.allows("learner.gamma.x"));
    }
}
