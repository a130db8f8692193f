//! Draws every native environment after 30 random steps into PNG files:
//! `cargo run --release -p relax-envs --example render_frames -- DIRECTORY`

use std::path::PathBuf;

use relax_envs::{EnvRng, ids, make};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = PathBuf::from(std::env::args().nth(1).ok_or("give a directory to write to")?);
    for id in ids() {
        let mut env = make(&id, &Default::default())?;
        let (mut rng, mut actions) = (EnvRng::from_seed(3), EnvRng::from_seed(4));
        let mut observation = vec![0.0; env.observation_space().flat_dim()];
        env.reset(&mut rng, &mut observation)?;
        for _ in 0..30 {
            let action = env.action_space().sample(&mut actions);
            if env.step(action.as_action_ref(), &mut rng, &mut observation)?.ended() {
                break;
            }
        }
        if let Some(frame) = env.render() {
            let path = directory.join(format!("{id}.png"));
            std::fs::write(&path, frame.to_png()?)?;
            println!("{}", path.display());
        }
    }
    Ok(())
}
