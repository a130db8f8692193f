//! An exported ONNX file read back by another hand: the messages as `prost` decodes them, and whether they make a whole graph.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use relax_rl::export::Plan;

#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    #[prost(string, tag = "2")]
    producer_name: String,
    #[prost(message, optional, tag = "7")]
    graph: Option<Graph>,
    #[prost(message, repeated, tag = "8")]
    opset_import: Vec<Opset>,
    #[prost(message, repeated, tag = "14")]
    metadata: Vec<Note>,
}

#[derive(Clone, PartialEq, Message)]
struct Opset {
    #[prost(string, tag = "1")]
    domain: String,
    #[prost(int64, tag = "2")]
    version: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Note {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct Graph {
    #[prost(message, repeated, tag = "1")]
    node: Vec<Node>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<Tensor>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<Value>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(string, tag = "4")]
    op_type: String,
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Message)]
struct Attribute {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(float, tag = "2")]
    f: f32,
    #[prost(int64, tag = "3")]
    i: i64,
    #[prost(int64, repeated, packed = "false", tag = "8")]
    ints: Vec<i64>,
    #[prost(int32, tag = "20")]
    kind: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Tensor {
    #[prost(int64, repeated, packed = "false", tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(bytes, tag = "9")]
    raw_data: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    kind: Option<Type>,
}

#[derive(Clone, PartialEq, Message)]
struct Type {
    #[prost(message, optional, tag = "1")]
    tensor: Option<TensorType>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorType {
    #[prost(int32, tag = "1")]
    element: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<Shape>,
}

#[derive(Clone, PartialEq, Message)]
struct Shape {
    #[prost(message, repeated, tag = "1")]
    dim: Vec<Dimension>,
}

#[derive(Clone, PartialEq, Message)]
struct Dimension {
    #[prost(int64, tag = "1")]
    value: i64,
    #[prost(string, tag = "2")]
    parameter: String,
}

/// The operators that a policy may be made of, with how many inputs each has.
const OPERATORS: &[(&str, usize)] = &[
    ("Add", 2),
    ("ArgMax", 1),
    ("Clip", 3),
    ("Conv", 3),
    ("Elu", 1),
    ("Expand", 2),
    ("Flatten", 1),
    ("Gemm", 3),
    ("Identity", 1),
    ("Max", 2),
    ("Min", 2),
    ("Mul", 2),
    ("Relu", 1),
    ("Reshape", 2),
    ("Shape", 1),
    ("Slice", 4),
    ("Sub", 2),
    ("Tanh", 1),
    ("Transpose", 1),
    ("Where", 3),
];

/// Type and sizes of a value, the batch's first as −1.
fn described(value: &Value) -> (String, i32, Vec<i64>) {
    let tensor = value.kind.clone().and_then(|kind| kind.tensor).unwrap_or_default();
    let sizes = tensor.shape.unwrap_or_default().dim;
    let sizes = sizes.iter().map(|dim| if dim.parameter == "N" { -1 } else { dim.value }).collect();
    (value.name.clone(), tensor.element, sizes)
}

/// Whether `bytes` are a whole graph of the policy `plan`.
pub fn check(bytes: &[u8], plan: &Plan) -> Result<(), String> {
    let model = Model::decode(bytes).map_err(|error| error.to_string())?;
    let graph = model.graph.ok_or("no graph")?;
    if (model.ir_version, model.producer_name.as_str()) != (8, "relax-rl") {
        return Err(format!("version {} of {}", model.ir_version, model.producer_name));
    }
    if model.opset_import != [Opset { domain: String::new(), version: relax_rl::export::OPSET }] {
        return Err(format!("{:?}", model.opset_import));
    }
    let notes: BTreeMap<_, _> =
        model.metadata.iter().map(|note| (note.key.as_str(), note.value.as_str())).collect();
    if notes.get("state_hash") != Some(&plan.about.state_hash.as_str())
        || notes.get("env") != Some(&plan.about.env.as_str())
    {
        return Err(format!("{notes:?}"));
    }

    let batch = |shape: &[usize]| -> Vec<i64> {
        std::iter::once(-1).chain(shape.iter().map(|&n| n as i64)).collect()
    };
    let mut inputs = vec![("observation".to_owned(), 1, batch(&plan.observation))];
    inputs.extend(plan.action_mask.map(|len| ("action_mask".to_owned(), 9, batch(&[len]))));
    let found: Vec<_> = graph.input.iter().map(described).collect();
    if found != inputs {
        return Err(format!("inputs {found:?}, not {inputs:?}"));
    }
    let outputs: Vec<_> = graph.output.iter().map(described).collect();
    let action = ("action".to_owned(), if plan.action.integer { 7 } else { 1 }, batch(&plan.action.shape));
    let names: BTreeSet<&str> = outputs.iter().map(|(name, ..)| name.as_str()).collect();
    let more: BTreeSet<&str> = match plan.action.distribution.as_str() {
        "categorical" | "factored" => ["action", "logits"].into(),
        "gaussian" | "squashed-gaussian" => ["action", "mean", "log_std"].into(),
        _ => ["action"].into(),
    };
    if outputs[0] != action || names != more || outputs.iter().any(|(_, _, sizes)| sizes.contains(&0)) {
        return Err(format!("outputs {outputs:?}"));
    }

    let mut known: BTreeSet<&str> = graph.input.iter().map(|input| input.name.as_str()).collect();
    for tensor in &graph.initializer {
        let width = if tensor.data_type == 7 { 8 } else { 4 };
        if tensor.raw_data.len() as i64 != tensor.dims.iter().product::<i64>() * width {
            return Err(format!(
                "`{}` of {:?} has {} bytes",
                tensor.name,
                tensor.dims,
                tensor.raw_data.len()
            ));
        }
        let sorted = |mut sizes: Vec<i64>| {
            sizes.sort_unstable();
            sizes
        };
        let planned =
            plan.tensors.get(tensor.name.as_str()).map(|own| own.shape.iter().map(|&n| n as i64).collect());
        if planned.is_some_and(|planned| sorted(planned) != sorted(tensor.dims.clone())) {
            return Err(format!("`{}` of {:?}", tensor.name, tensor.dims));
        }
        if !known.insert(&tensor.name) {
            return Err(format!("`{}` twice", tensor.name));
        }
    }
    let mut used = BTreeSet::new();
    for node in &graph.node {
        let several = node.op_type == "Concat" && !node.input.is_empty();
        if !several && !OPERATORS.contains(&(node.op_type.as_str(), node.input.len())) {
            return Err(format!("{} of {} inputs", node.op_type, node.input.len()));
        }
        if let Some(missing) = node.input.iter().find(|input| !known.contains(input.as_str())) {
            return Err(format!("{} of `{missing}`, which there is not yet", node.op_type));
        }
        if node.attribute.iter().any(|attribute| ![1, 2, 7].contains(&attribute.kind)) {
            return Err(format!("{:?}", node.attribute));
        }
        used.extend(node.input.iter().map(String::as_str));
        for output in &node.output {
            if !known.insert(output) {
                return Err(format!("`{output}` twice"));
            }
        }
    }
    let unused: Vec<_> =
        graph.initializer.iter().filter(|tensor| !used.contains(tensor.name.as_str())).collect();
    match (unused.first(), outputs.iter().find(|(name, ..)| !known.contains(name.as_str()))) {
        (None, None) => Ok(()),
        (Some(tensor), _) => Err(format!("nothing uses `{}`", tensor.name)),
        (_, Some((output, ..))) => Err(format!("nothing makes `{output}`")),
    }
}
