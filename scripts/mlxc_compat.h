// Included before every source file of mlx-c.
#include "format_compat.h"
#include "mlx/c/error.h"

// mlx-c hands what() of an exception to a printf-like function as its format:
// a '%' in a file name would crash. Here it is an argument instead.
#undef mlx_error
#define mlx_error(message) _mlx_error(__FILE__, __LINE__, "%s", message)
