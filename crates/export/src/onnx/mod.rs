//! A plan as an ONNX graph.
//!
//! Inputs: `observation` `[N, …]` and, where actions are masked, `action_mask` `[N, M]` (bool). Outputs: `action` `[N, …]`, greedy, and
//! what else the distribution has: `logits` `[N, K]`, or `mean` and `log_std` `[N, K]` before any squash or bound. Pictures are `[N, H, W, C]` in
//! a plan and `[N, C, H, W]` in ONNX, so that they are transposed before the first convolution and after the last.

mod proto;

use std::collections::BTreeMap;

use proto::{Attribute, Element, Message};

use crate::plan::{Plan, Step, Tensor};

/// The version of the operators: of 2021, which everything reads.
pub(crate) const OPSET: i64 = 17;
/// The version of the file format that came with it.
const IR_VERSION: i64 = 8;

/// The bytes of an ONNX file.
pub(crate) fn write(plan: &Plan) -> Vec<u8> {
    let mut graph = Graph::new(plan);
    for step in &plan.steps {
        graph.step(step);
    }
    let last = std::mem::take(&mut graph.x);
    graph.name("Identity", &[&last], "action", &[]);
    let element = if plan.action.integer { Element::Int64 } else { Element::Float };
    let mut outputs = vec![("action".to_owned(), element, plan.action.shape.clone())];
    outputs.extend(std::mem::take(&mut graph.outputs));
    let mut inputs = vec![("observation".to_owned(), Element::Float, plan.observation.clone())];
    inputs.extend(plan.action_mask.map(|len| ("action_mask".to_owned(), Element::Bool, vec![len])));

    // GraphProto: node 1, name 2, initializer 5, input 11, output 12.
    let mut message = graph.nodes.into_iter().fold(Message::default(), |all, node| all.message(1, node));
    message = message.text(2, "policy");
    for tensor in graph.initializers.into_values() {
        message = message.message(5, tensor);
    }
    for (field, values) in [(11, inputs), (12, outputs)] {
        for (name, element, shape) in values {
            message = message.message(field, proto::value(&name, element, &shape));
        }
    }
    let about = &plan.about;
    let seed = about.seed.to_string();
    let notes = [
        ("env", about.env.as_str()),
        ("agent", &about.agent),
        ("seed", &seed),
        ("distribution", &plan.action.distribution),
        ("action_space", &plan.action.space),
        ("state_hash", &about.state_hash),
    ];
    let text = format!("the policy of {} in {}: observations to greedy actions", about.agent, about.env);
    proto::model(IR_VERSION, OPSET, &about.version, &text, message, &notes).finish()
}

struct Graph<'a> {
    plan: &'a Plan,
    nodes: Vec<Message>,
    initializers: BTreeMap<String, Message>,
    /// Name, type and shape of the results beside the action.
    outputs: Vec<(String, Element, Vec<usize>)>,
    /// Name of the value at hand.
    x: String,
    /// Whether it is a picture, `[N, C, H, W]`.
    picture: bool,
    /// Numbers of a row of it, once it has gone through a full layer.
    width: usize,
}

impl<'a> Graph<'a> {
    fn new(plan: &'a Plan) -> Self {
        Self {
            plan,
            nodes: Vec::new(),
            initializers: BTreeMap::new(),
            outputs: Vec::new(),
            x: "observation".to_owned(),
            picture: false,
            width: 0,
        }
    }

    /// A node whose output has this name.
    fn name(&mut self, kind: &str, inputs: &[&str], output: &str, attributes: &[(&str, Attribute<'_>)]) {
        self.nodes.push(proto::node(kind, inputs, output, attributes));
    }

    /// A node with a name of its own.
    fn node(&mut self, kind: &str, inputs: &[&str], attributes: &[(&str, Attribute<'_>)]) -> String {
        let output = format!("{kind}{}", self.nodes.len());
        self.name(kind, inputs, &output, attributes);
        output
    }

    /// x ← a node of x and of `more`.
    fn then(&mut self, kind: &str, more: &[&str], attributes: &[(&str, Attribute<'_>)]) {
        let x = std::mem::take(&mut self.x);
        let inputs: Vec<&str> = std::iter::once(x.as_str()).chain(more.iter().copied()).collect();
        self.x = self.node(kind, &inputs, attributes);
    }

    /// The array of the plan, as it is.
    fn tensor(&mut self, name: &str) -> String {
        if let Some(tensor) = self.plan.tensors.get(name) {
            self.floats(name, &tensor.shape, &tensor.data);
        }
        name.to_owned()
    }

    fn floats(&mut self, name: &str, shape: &[usize], data: &[f32]) {
        let raw: Vec<u8> = data.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.initializers.insert(name.to_owned(), proto::tensor(name, Element::Float, shape, &raw));
    }

    /// One number for all.
    fn number(&mut self, value: f32) -> String {
        let name = format!("number_{value}");
        self.floats(&name, &[], &[value]);
        name
    }

    /// Whole numbers.
    fn whole(&mut self, values: &[i64]) -> String {
        let name = format!("whole{}", values.iter().map(|i| format!("_{i}")).collect::<String>());
        let raw: Vec<u8> = values.iter().flat_map(|i| i.to_le_bytes()).collect();
        self.initializers.insert(name.clone(), proto::tensor(&name, Element::Int64, &[values.len()], &raw));
        name
    }

    /// x ← x as `[N, …]`.
    fn reshape(&mut self, shape: &[usize]) {
        let sizes: Vec<i64> = std::iter::once(-1).chain(shape.iter().map(|&size| size as i64)).collect();
        let sizes = self.whole(&sizes);
        self.then("Reshape", &[&sizes], &[]);
    }

    fn transpose(&mut self, order: &[i64]) {
        self.then("Transpose", &[], &[("perm", Attribute::Ints(order))]);
    }

    /// x from `from` on, up to `to`, along the second dimension.
    fn slice(&mut self, x: &str, from: usize, to: usize) -> String {
        let (from, to, axis) = (self.whole(&[from as i64]), self.whole(&[to as i64]), self.whole(&[1]));
        self.node("Slice", &[x, &from, &to, &axis], &[])
    }

    /// `value` is a result of this name, `width` numbers a row.
    fn output(&mut self, value: &str, name: &str, width: usize) {
        self.name("Identity", &[value], name, &[]);
        self.outputs.push((name.to_owned(), Element::Float, vec![width]));
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Flatten => {
                if std::mem::take(&mut self.picture) {
                    self.transpose(&[0, 2, 3, 1]);
                }
                self.then("Flatten", &[], &[("axis", Attribute::Int(1))]);
            }
            Step::Scale { mean, factor, limit } => {
                let (mean, factor) = (self.tensor(mean), self.tensor(factor));
                self.then("Sub", &[&mean], &[]);
                self.then("Mul", &[&factor], &[]);
                let (low, high) = (self.number(-limit), self.number(*limit));
                self.then("Clip", &[&low, &high], &[]);
            }
            Step::Picture { dimensions, order, shape, factor } => {
                self.reshape(dimensions);
                // Rows, columns, frames, channels in the plan; frames, channels, rows, columns here; the batch before them.
                let at = |i: usize| order[i] as i64 + 1;
                self.transpose(&[0, at(2), at(3), at(0), at(1)]);
                self.reshape(&[shape[2], shape[0], shape[1]]);
                if *factor != 1.0 {
                    let factor = self.number(*factor);
                    self.then("Mul", &[&factor], &[]);
                }
                self.picture = true;
            }
            Step::Convolution { weight, bias, stride } => {
                if let Some(tensor) = self.plan.tensors.get(weight) {
                    let Tensor { shape, data } = outputs_first(tensor);
                    self.floats(weight, &shape, &data);
                }
                let (bias, stride) = (self.tensor(bias), *stride as i64);
                self.then("Conv", &[weight, &bias], &[("strides", Attribute::Ints(&[stride, stride]))]);
            }
            Step::Affine { weight, bias } => {
                self.width = self.plan.tensors.get(bias).map_or(0, |bias| bias.data.len());
                let (weight, bias) = (self.tensor(weight), self.tensor(bias));
                self.then("Gemm", &[&weight, &bias], &[]);
            }
            Step::Relu => self.then("Relu", &[], &[]),
            Step::Tanh => self.then("Tanh", &[], &[]),
            Step::Elu => self.then("Elu", &[], &[("alpha", Attribute::Float(1.0))]),
            Step::Output { name } => {
                let x = self.x.clone();
                self.output(&x, name, self.width);
            }
            Step::Constant { name, tensor } => {
                let (x, held) = (self.x.clone(), format!("{tensor}_of_all"));
                if let Some(tensor) = self.plan.tensors.get(tensor) {
                    self.floats(&held, &tensor.shape, &tensor.data);
                }
                // A result has a row an observation.
                let shape = self.node("Shape", &[&x], &[]);
                let rows = self.node("Expand", &[&held, &shape], &[]);
                self.output(&rows, name, self.width);
            }
            Step::Split { name, count, limits } => {
                let x = std::mem::take(&mut self.x);
                let mut more = self.slice(&x, *count, self.width);
                if let Some([low, high]) = limits {
                    let (low, high) = (self.number(*low), self.number(*high));
                    more = self.node("Clip", &[&more, &low, &high], &[]);
                }
                self.output(&more, name, self.width - count);
                self.width = *count;
                self.x = self.slice(&x, 0, *count);
            }
            Step::Mask => {
                let x = std::mem::take(&mut self.x);
                let forbidden = self.number(f32::NEG_INFINITY);
                self.x = self.node("Where", &["action_mask", &x, &forbidden], &[]);
            }
            Step::Largest { sizes, start, alone } => self.largest(sizes, *start, *alone),
            Step::Stretch { low, high } => {
                let (low, high) = (self.tensor(low), self.tensor(high));
                let (one, half) = (self.number(1.0), self.number(0.5));
                let range = self.node("Sub", &[&high, &low], &[]);
                self.then("Add", &[&one], &[]);
                self.then("Mul", &[&half], &[]);
                self.then("Mul", &[&range], &[]);
                self.then("Add", &[&low], &[]);
            }
            Step::Clip { low, high } => {
                let (low, high) = (self.tensor(low), self.tensor(high));
                self.then("Max", &[&low], &[]);
                self.then("Min", &[&high], &[]);
            }
            Step::Reshape { shape } => self.reshape(shape),
        }
    }

    fn largest(&mut self, sizes: &[usize], start: i64, alone: bool) {
        let x = std::mem::take(&mut self.x);
        let attributes = |kept: i64| [("axis", Attribute::Int(1)), ("keepdims", Attribute::Int(kept))];
        self.x = if alone {
            self.node("ArgMax", &[&x], &attributes(0))
        } else {
            let mut chosen = Vec::with_capacity(sizes.len());
            let mut at = 0;
            for size in sizes {
                let factor = self.slice(&x, at, at + size);
                chosen.push(self.node("ArgMax", &[&factor], &attributes(1)));
                at += size;
            }
            let chosen: Vec<&str> = chosen.iter().map(String::as_str).collect();
            self.node("Concat", &chosen, &[("axis", Attribute::Int(1))])
        };
        if start != 0 {
            let start = self.whole(&[start]);
            self.then("Add", &[&start], &[]);
        }
    }
}

/// `[side, side, in, out]` as `[out, in, side, side]`.
fn outputs_first(tensor: &Tensor) -> Tensor {
    let [rows, columns, inputs, outputs] = tensor.shape[..] else { return tensor.clone() };
    let mut data = Vec::with_capacity(tensor.data.len());
    for output in 0..outputs {
        for input in 0..inputs {
            for pixel in 0..rows * columns {
                data.push(tensor.data[(pixel * inputs + input) * outputs + output]);
            }
        }
    }
    Tensor { shape: vec![outputs, inputs, rows, columns], data }
}
