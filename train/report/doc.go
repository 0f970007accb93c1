// Package report shows how a training run goes: a progress line while it runs,
// a sparkline and a loss plot when it is done, and numbers that people can
// read.
//
// # Progress
//
// A [Progress] writes to a terminal one line that it updates in place, and to a
// pipe or a file plain lines, not too many. It uses carriage returns and spaces
// only, no escape sequences, and leaves the cursor on a fresh line when it
// finishes.
//
// # Plots
//
// [LossPlot] draws curves into a PNG, written so that a failure leaves no half
// file; [Sparkline] draws one of block characters for the terminal. Both show
// values that are not finite, which a failed training yields, as gaps.
//
// # Lifetime
//
// A Progress may be used by many goroutines and ends with Finish. Nothing else
// is kept between calls.
//
// # Errors
//
// Errors of files and writers are returned. A Progress whose writer fails
// writes no more and lets the training go on; Finish returns the error.
package report
