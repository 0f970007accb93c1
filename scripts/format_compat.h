// Supplies std::format for "{}" placeholders where the C++ library doesn't
// announce it (GCC before 13, libc++ before 19).
#include <version>
#ifdef __cpp_lib_format
#include <format>
#else
#include <sstream>
#include <string>
#include <string_view>
namespace std {
// A library may have std::format without saying so. For a string literal this
// one is the better match, so the two don't collide.
template <typename... Args>
string format(const char* text, Args&&... args) {
  string_view rest = text;
  ostringstream out;
  auto until_placeholder = [&] {
    auto at = rest.find("{}");
    out << rest.substr(0, at);
    rest.remove_prefix(at == rest.npos ? rest.size() : at + 2);
  };
  ((until_placeholder(), out << args), ...);
  out << rest;
  return out.str();
}
} // namespace std
#endif
