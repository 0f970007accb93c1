// Package gateddelta is the gated delta rule, the recurrence of Gated DeltaNet
// and of the linear-attention layers of Qwen3-Next and Qwen3.5, as a
// differentiable operation with a backward pass of its own.
//
// # The rule
//
// A head keeps a state S, a matrix [K, V] that maps keys to values. Each token
// with query q, key k, value v, log decay g <= 0 and writing strength β first
// forgets, then corrects what the state holds for its key, then reads:
//
//	Sd = e^g S;  e = v − Sdᵀk;  d = β e;  S' = Sd + k dᵀ;  o = s S'ᵀq
//
// with a scale s = K^-1/2. Without gate and with β = 1 this is the delta rule;
// keys of unit length and β between 0 and 2 keep it from expanding (see
// Options.QKL2Norm). In layouts with fewer key heads than value heads, value
// head h uses key head h / (Hv/Hk). Apply is the entry; the gradients of all
// inputs flow back from O and from the final state. Step takes one token at a
// time, for decoding, and Explain says what Apply would do, at what cost, and why.
//
// Gated DeltaNet: Yang, Kautz and Hatamizadeh, arXiv:2412.06464. The chunk form
// of the delta rule: Yang, Wang, Zhang, Shen and Kim, arXiv:2406.06484.
//
// # What may come before
//
// Apply takes its operands as a layer has them, too, and its gradients then
// arrive there. All implementations share these steps:
//
//	q, k = q/√(Σq² + ε), k/√(Σk² + ε)          Options.QKL2Norm
//	g = −exp(A_log)·softplus(a + dt_bias)      Inputs.GateInput, ALog, DtBias
//	β = sigmoid(b), or 2·sigmoid(b)            Inputs.BetaLogits, Options.AllowNegativeEigenvalues
//
// Sequences of different lengths can share a batch: tokens beside Inputs.Mask
// change nothing and give zeros. Options.StateLayout turns states for those who
// keep them as [V, K].
//
// With Options.NoDelta the rule is d = β v, gated linear attention, to compare
// with. In the formulas below A is then 0, T = I and E = V; no gradient goes
// through E, so that the terms with dV in dS, dK and past, and M and N, are 0.
//
// # Packed sequences
//
// Options.CuSeqlens packs N sequences of any lengths into one row of tokens. Each
// has a state of its own, [N, Hv, K, V], and the results are those of N separate
// runs; an empty sequence hands on its state and its state's gradient. The
// sequences go side by side: in the order of their number of chunks, longest
// first, so that those that go on are always the first rows of the state. As
// many go together as fit into a few megabytes per step. Work is in proportion
// to the chunks, ⌈length/C⌉ for each sequence, and a chunk with which a sequence
// starts without an initial state, or ends without a final one to give, spares the
// products with that state. Where the tokens go is computed on the host from
// CuSeqlens alone. Options.ChunkSize 0 takes smaller chunks where
// larger ones would be padding to a good part.
//
// # Chunks
//
// The Recurrent implementation is the definition, and its backward pass goes
// through it token by token. The Chunk implementation does the same in matrix
// products. For a chunk of C tokens, the rows of Q (scaled), K and V, let G be
// the running sum of g, and
//
//	Γ_ij = e^{G_i − G_j} for i >= j, else 0;  γ = e^G;  ρ = e^{G_C − G}
//	A_ij = β_i Γ_ij (k_i·k_j) for i > j, else 0;  T = (I + A)^-1
//
// From the state S at the chunk's start, with ∘ for the elementwise product and
// γ, ρ, β scaling rows,
//
//	E = V − γ∘(K S);  Vn = T (β∘E)
//	O = γ∘(Q S) + P Vn,  P = Γ∘(Q Kᵀ)
//	S⁺ = e^{G_C} S + Kᵀ(ρ∘Vn)
//
// Backwards, from dO and the gradient dS⁺ of the state at the chunk's end,
//
//	dVn = Pᵀ dO + ρ∘(K dS⁺);  dB = Tᵀ dVn;  dV = β∘dB
//	dS = e^{G_C} dS⁺ + Qᵀ(γ∘dO) − Kᵀ(γ∘dV)
//	ds = Γ∘(dO Vnᵀ);  M = Γ∘(dB Vnᵀ) below the diagonal, else 0;  N = β∘M
//	dQ = (γ∘dO) Sᵀ + ds K
//	dK = (ρ∘Vn) dS⁺ᵀ − (γ∘dV) Sᵀ + dsᵀ Q − (N + Nᵀ) K
//	dβ_i = dB_i·E_i − Σ_j M_ij k_i·k_j
//	dg_i = <S, e^{G_C} dS⁺> + Σ_{r>=i} past_r + Σ_{c<i} future_c + Σ_{c<i<=r} Z_rc
//
// where past_r = (γ∘dO)_r·(Q S)_r − (γ∘dV)_r·(K S)_r is what row r takes from S,
// future_c = Vn_c·(ρ∘K dS⁺)_c what row c leaves in S⁺, and Z = ds∘(Q Kᵀ) −
// N∘(K Kᵀ) what passes between two rows. dB is the gradient of β∘E, so that the
// inverse itself needs none: dA = −dB Vnᵀ below the diagonal. The value heads of
// a key head share Q Kᵀ and K Kᵀ, and keys are never repeated for them.
//
// # From chunk to chunk
//
// In these formulas each chunk waits for the state that the one before it leaves:
// ScanSequential. Options.Scan names two ways that make less wait and compute more.
// Put together, the formulas are S⁺ = M S + N and dS = Mᵀ dS⁺ + E, with
//
//	Y = (T∘β_j)ᵀ (ρ∘K);  M = e^{G_C} I − Yᵀ (γ∘K);  N = Yᵀ V
//	E = Qᵀ(γ∘dO) − Kᵀ(γ∘β∘(Tᵀ Pᵀ dO))
//
// which hang on no state: ScanTransition makes them for all chunks of a segment at
// once, takes the state through the chunks by one product and sum each, and does
// all the rest at once. ScanTwoLevel takes it through runs of L chunks: for all runs
// side by side it computes what a run makes of any state, Π S + Z, by
//
//	Z ← M Z + N;  Π ← M Π    from Z = 0, Π = I, before each chunk and after the last
//
// then goes from run to run, and at last returns to the chunks, whose states are
// Π S + Z of the state at their run's start. Of N chunks, about L + N/L products wait
// for each other instead of N; backwards the same with Mᵀ and E from the end. With
// NoDelta, M and Π are numbers.
//
// What that costs: a state S is [K, V], so that a chunk's step already takes 4CKV
// operations (K S, and what is written), all of which wait. M S + N takes 2K²V, to
// make M and N 2C²K + 2CK² + 2CKV and K S still 2CKV. Two levels add 2K³ for Π and
// 2K²V + 2K²V/L to return: the products that go from chunk to chunk are two to three
// times those of the transition form, not K times, as a comparison with the state
// of a vector would have it. With K = V = 128, C = 64 and four value heads per key
// head, the forward pass takes 1.8 times the operations of the sequential one, or
// with runs of 8 chunks 2.8 times, and the backward pass 1.5 and 2.2 times; smaller
// chunks make it worse, as 2K²V is once per chunk. It pays where a step has so little
// to do that to call an operation takes longer. ScanAuto leaves the sequential scan
// where 8 steps or more wait for each other, 4 on a GPU, and the states of a step
// have at most 2¹³ numbers, on a GPU 2²⁰ (64 heads of 128 x 128); it takes two
// levels where 32 steps wait and there are at most 2¹¹ numbers, on a GPU 2¹⁷.
//
// # Compiled passes
//
// On GPUs the graphs of both passes are kept and optimised by MLX when the same
// shapes and options come a second time; see Compile, which says how to turn that
// off, or on elsewhere, and FreeCompiled. Masks and the places of packed tokens
// are constants of them.
//
// # Numerics
//
//   - State, gates, the inverse and all sums are float32, or float64 if the
//     inputs are. float16 and bfloat16 inputs are converted first and their
//     gradients last.
//   - Decays are exponentials of sums, or products of exponentials, over exactly
//     the tokens concerned, never differences of sums: strong gates keep their
//     relative accuracy, and g = −Inf is an exact reset.
//   - dg is made of sums only. The shorter q·dq − k·dk cancels to noise where
//     gates are strong.
//   - The inverse is by substitution or doubling, which nearly parallel keys do
//     not upset.
//   - What a chunk leaves of a state is computed as a difference. Where it
//     erases all but a small part ε of it, without decay (C many times K), that
//     part and its gradient have a relative error of about 3e-7/ε in float32.
//   - A NaN, or a gate above 0, which would grow the state, spoils the rest of its
//     sequence and head, and in the chunk form its own chunk from the start.
//   - Equal inputs give equal bits.
//
// # Memory
//
// Chunks are worked on in segments of L (Options.Segment). Until the backward
// pass, the tape holds the inputs, their normalised and masked copies if such are
// asked for, and, for each segment but the first, the state at its start:
// (⌈T/(C·L)⌉ − 1)·B·Hv·K·V elements. The backward pass recomputes one segment after
// another, from the last, and not before the gradient arrives. Besides twice the
// gradients that it returns it takes at most about
//
//	10·L·B·Hv·(C·max(K, V) + C² + K·V)
//
// elements; with ScanTransition and ScanTwoLevel in segments of more than one step
//
//	L·B·Hv·(13·(C·max(K, V) + C² + K·V) + 4·K²)
//
// By default L is such that the states kept take at most half of what
// V takes. Of packed sequences, the states of those are kept that go on at the
// start of a segment, L·B is the number of chunks in the largest segment, and
// the backward pass takes four times the gradients in place of twice, padded to
// whole chunks. K·V is absent for packed sequences of one chunk without initial and
// final states. The recurrent form takes about 4·T·B·Hv·K·V elements in its
// backward pass, besides the gradients, and is meant for tests and a few tokens.
// Explain puts numbers to these formulas. CPU keeps as many states by its own L; its
// backward pass takes twice the gradients, six times those of 16 bits, and for each
// thread, with R = Hv/Hk,
//
//	L·R·(K·V + C·(C + V)) + (2·R + 1)·K·V + C·(9·C + 6·V + 7·K)
//
// elements, where K, V and C are rounded up to 16 and, as columns, to odd multiples of
// it. Metal's formula is in docs/kernels.md, and holds on GPUs, as it evaluates
// segment by segment. The formulas above are for CPUs; a GPU also holds what is
// in flight, which came to seven times as much for the scans other than sequential
// on an H100.
//
// # Two cores
//
// On a CPU the engine works through a graph on one core. Where a step's arrays
// are large enough (Options.Threads chooses), Apply builds two graphs, for one
// half of the key heads with their value heads each, or of the rows of a batch
// where there is one key head. They are evaluated together, lazily like
// everything else, and keep abreast: after each chunk either half waits for the
// other. So both passes take the same memory as on one core, by the formulas
// above, but that the backward pass takes half as much again of the gradients, which
// are put together from halves. Nothing is added up in another order: the bits are those of one core,
// unless a half is so small that exponentials are computed otherwise (below 4096
// in an array), which is rounding. They are the same in each run in any case.
//
// # Errors
//
// Inputs whose shapes or dtypes don't fit together, and options that don't
// exist, panic with *tensor.Error, which names the argument, what was expected
// and what came. Where Apply evaluates its operands (Metal with several
// segments) and one of them can't be, it goes on with the op graph: the evaluation of
// the results fails by the operand's error, and the backward pass returns it.
package gateddelta
