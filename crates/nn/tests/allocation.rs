//! After its first call at a batch size, no pass and no optimiser step allocates.
#![allow(unsafe_code)]

use relax_nn::{Activation, MlpShape, Optimizer, Rule, Workspace, clip_scale, global_norm};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_training_step_allocates_nothing_after_the_first() {
    let shape = MlpShape::new(6, &[64, 64], 1, Activation::Tanh);
    let rows = 80;
    let mut parameters = vec![0.01f32; shape.parameter_count()];
    let mut gradient = vec![0f32; parameters.len()];
    let input = vec![0.1f32; rows * 6];
    let (mut value, mut slope) = (vec![0f32; rows], vec![0f32; rows * 6]);
    let (alpha, beta) = (vec![1f32; rows], vec![0.5f32; rows * 6]);
    let mut workspace = Workspace::new();
    let mut adam = Optimizer::new(Rule::ADAM, parameters.len());
    let mut step = || {
        gradient.fill(0.0);
        shape.value_and_gradient(&parameters, &input, &mut workspace, &mut value, &mut slope);
        shape.parameter_gradient(&parameters, &input, &workspace, &alpha, &beta, &mut gradient, None);
        shape.forward(&parameters, &input, &mut workspace, &mut value);
        shape.reverse(&parameters, &input, &workspace, &alpha, &mut gradient, None);
        let scale = clip_scale(global_norm(&gradient), 0.5);
        adam.step(&mut parameters, &gradient, 1e-3, scale);
    };
    step();
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for _ in 0..10 {
        step();
    }
    let after = ALLOCATIONS.load(Ordering::Relaxed);
    // The matrix products pack panels into memory that faer takes from the allocator; at these sizes it takes none.
    assert_eq!(after - before, 0, "allocations in ten steps");
}
