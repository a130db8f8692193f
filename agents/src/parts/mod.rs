//! What agents are made of, each usable in an agent of one's own: networks that learn, stored experience, returns.
//!
//! | part | what it does |
//! | --- | --- |
//! | [`policy`] | sends a batch through the policy's network, takes an estimator's ĝ, and steps the weights |
//! | [`critic`] | V(s): values, λ-returns and advantages of a batch, and its fit |
//! | [`baseline`] | a better baseline than V: V with a correction in closed form |
//! | [`control_variate`] | r(s, z), trained on the estimator's variance |
//! | [`q_critic`] | Q(s, a), trained on replayed transitions |
//! | [`expected_q`] | how much better than usual an action is by a learned Q(s, a) |
//! | [`twin_critics`] | two of them, trained towards the smaller of their values |
//! | [`experience`] | what an agent that replays has seen: transitions, their scale, gradient steps due |
//! | [`replay`] | the newest transitions, and minibatches of them |
//! | [`returns`] | λ-returns with termination and truncation told apart |
//! | [`normalize`] | observations and rewards on another scale, around any agent |
//! | [`world_model`] | a learned model of one step of the environment |
//! | [`lookahead`] | q(s, a) one step ahead by that model, its expectation under the policy, and the gradient of that |
//! | [`factor_baselines`] | the own action's part by a baseline for each of several choices |
//! | [`own_action`] | the own action's part by RELAX's relaxed samples of that q |
//! | [`later`] | discounted sums over what follows in a rollout |
//! | [`latin_hypercube`] | normal noise that covers its range evenly |
//! | [`candidates`] | what the model says of all actions, and q of it with V as it is |
//! | [`correction`] | what is added to V for the steps that remain in a rollout |
//! | [`horizon`] | what V leaves over for the steps that remain in a rollout, in closed form |
//! | [`gains`] | how much of several control variates enters ĝ, from past batches |
//! | [`guard`] | keeps a control variate from doing harm, by past batches |
//! | [`versions`] | versions that are bounded more and more tightly, each with its gains, under one guard |
//! | [`deterministic_actor`] | μ(s) that climbs a critic: DDPG's and TD3's |
//! | [`exploration`] | the noise of a deterministic policy |
//! | [`target_network`] | a network with a copy that follows it slowly |
//! | [`streams`] | random streams in a saved state |
//! | [`networks`] | how all of an agent's networks start, are saved and come back |

pub mod advantage;
pub mod baseline;
pub mod candidates;
mod centred;
pub mod control_variate;
pub mod correction;
pub mod critic;
pub mod deterministic_actor;
pub mod expected_q;
pub mod experience;
pub mod exploration;
pub mod factor_baselines;
pub mod gains;
pub mod guard;
pub mod horizon;
pub mod later;
pub mod latin_hypercube;
pub mod lookahead;
pub mod networks;
pub mod normalize;
pub mod own_action;
pub mod policy;
pub mod q_critic;
pub mod replay;
pub mod returns;
mod stored;
pub mod streams;
pub mod target_network;
pub mod twin_critics;
pub mod versions;
pub mod world_model;
