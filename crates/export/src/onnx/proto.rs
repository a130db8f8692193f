//! The few messages of ONNX that a policy needs, in Protocol Buffers' wire format, written by hand.
//!
//! A message is a sequence of fields: a key, which is `number << 3 | type`, and a value. Type 0 is a varint (seven bits a byte, the lowest
//! first, the top bit set on all but the last); type 2 is a length, a varint, and so many bytes: a string, bytes, or a message in turn; type 5
//! is four bytes, a float. That is all there is to writing. Field numbers are those of `onnx.proto` (onnx/onnx, IR version 8).

/// A message under construction.
#[derive(Debug, Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// A whole number; negative ones as two's complement of 64 bits, as int64 is.
    pub fn int(mut self, field: u64, value: i64) -> Self {
        self.varint(field << 3);
        self.varint(value as u64);
        self
    }

    /// A float.
    pub fn float(mut self, field: u64, value: f32) -> Self {
        self.varint(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// Bytes.
    pub fn bytes(mut self, field: u64, value: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend(value);
        self
    }

    /// A string.
    pub fn text(self, field: u64, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    /// A message.
    pub fn message(self, field: u64, value: Self) -> Self {
        self.bytes(field, &value.0)
    }

    /// What was written.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Types of a tensor's elements (TensorProto.DataType).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    Float = 1,
    Int64 = 7,
    Bool = 9,
}

/// An attribute of a node.
#[derive(Debug, Clone, Copy)]
pub(super) enum Attribute<'a> {
    Int(i64),
    Ints(&'a [i64]),
    Float(f32),
}

/// AttributeProto: name 1, f 2, i 3, ints 8, type 20 (FLOAT 1, INT 2, INTS 7).
fn attribute(name: &str, value: Attribute<'_>) -> Message {
    let message = Message::default().text(1, name);
    match value {
        Attribute::Float(x) => message.float(2, x).int(20, 1),
        Attribute::Int(i) => message.int(3, i).int(20, 2),
        Attribute::Ints(all) => all.iter().fold(message, |message, &i| message.int(8, i)).int(20, 7),
    }
}

/// NodeProto: input 1, output 2, name 3, op_type 4, attribute 5.
pub(super) fn node(
    kind: &str,
    inputs: &[&str],
    output: &str,
    attributes: &[(&str, Attribute<'_>)],
) -> Message {
    let message = inputs.iter().fold(Message::default(), |message, input| message.text(1, input));
    let message = message.text(2, output).text(3, output).text(4, kind);
    attributes.iter().fold(message, |message, &(name, value)| message.message(5, attribute(name, value)))
}

/// TensorProto: dims 1, data_type 2, name 8, raw_data 9 (little-endian).
pub(super) fn tensor(name: &str, element: Element, shape: &[usize], raw: &[u8]) -> Message {
    let message = shape.iter().fold(Message::default(), |message, &size| message.int(1, size as i64));
    message.int(2, element as i64).text(8, name).bytes(9, raw)
}

/// ValueInfoProto: name 1, type 2. TypeProto: tensor_type 1. Tensor: elem_type 1, shape 2. TensorShapeProto: dim 1. Dimension: dim_value
/// 1, dim_param 2. The first dimension is the batch, of any size.
pub(super) fn value(name: &str, element: Element, shape: &[usize]) -> Message {
    let batch = Message::default().text(2, "N");
    let sizes = shape.iter().map(|&size| Message::default().int(1, size as i64));
    let shape = std::iter::once(batch).chain(sizes).fold(Message::default(), |all, dim| all.message(1, dim));
    let tensor = Message::default().int(1, element as i64).message(2, shape);
    Message::default().text(1, name).message(2, Message::default().message(1, tensor))
}

/// ModelProto: ir_version 1, producer_name 2, producer_version 3, doc_string 6, graph 7, opset_import 8 (version 2), metadata_props 14
/// (key 1, value 2).
pub(super) fn model(
    ir: i64,
    opset: i64,
    version: &str,
    text: &str,
    graph: Message,
    notes: &[(&str, &str)],
) -> Message {
    let message = Message::default()
        .int(1, ir)
        .text(2, "relax-rl")
        .text(3, version)
        .text(6, text)
        .message(7, graph)
        .message(8, Message::default().int(2, opset));
    notes.iter().fold(message, |message, (key, value)| {
        message.message(14, Message::default().text(1, key).text(2, value))
    })
}
