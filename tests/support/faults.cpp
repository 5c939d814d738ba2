// Makes one system call fail: the n-th write, fsync or rename of files in one folder. Loaded with LD_PRELOAD.
//
// It can also stand for a drive that lacks something: with FAULTS_FSYNC_FOLDER every fsync of a folder fails, with
// FAULTS_FLOCK every lock. Their values are error numbers.

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <string>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

std::string folder;
long left = -1;   // calls until the one that fails; negative: none fails
long counted = 0; // calls so far
int error = 0;

bool fails(const char* path) {
  if (folder.empty() || std::strncmp(path, folder.c_str(), folder.size()) != 0) return false;
  ++counted;
  return left >= 0 && left-- == 0;
}

bool fails(int descriptor) {
  char name[64], path[PATH_MAX];
  std::snprintf(name, sizeof name, "/proc/self/fd/%d", descriptor);
  const ssize_t length = readlink(name, path, sizeof path - 1);
  if (length < 0) return false;
  path[length] = 0;
  return fails(path);
}

template <class Function>
Function original(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

// The error of a drive that lacks something; 0 where it does not.
int lacks(const char* variable) {
  const char* code = std::getenv(variable);
  return code ? std::atoi(code) : 0;
}

bool is_folder(int descriptor) {
  struct stat status;
  return fstat(descriptor, &status) == 0 && S_ISDIR(status.st_mode);
}

} // namespace

extern "C" {

void faults_arm(const char* path, long number, int code) {
  folder = path;
  left = number;
  error = code;
  counted = 0;
}

long faults_counted() { return counted; }

ssize_t write(int descriptor, const void* data, size_t size) {
  static const auto real = original<ssize_t (*)(int, const void*, size_t)>("write");
  if (!folder.empty() && fails(descriptor)) {
    // Half of the data reach the file, as on a disk that becomes full.
    if (size > 1) (void)real(descriptor, data, size / 2);
    errno = error;
    return -1;
  }
  return real(descriptor, data, size);
}

int fsync(int descriptor) {
  static const auto real = original<int (*)(int)>("fsync");
  if (!folder.empty() && fails(descriptor)) return errno = error, -1;
  if (const int code = lacks("FAULTS_FSYNC_FOLDER"); code && is_folder(descriptor)) return errno = code, -1;
  return real(descriptor);
}

int flock(int descriptor, int operation) {
  static const auto real = original<int (*)(int, int)>("flock");
  if (const int code = lacks("FAULTS_FLOCK"); code) return errno = code, -1;
  return real(descriptor, operation);
}

int rename(const char* from, const char* to) {
  static const auto real = original<int (*)(const char*, const char*)>("rename");
  if (!folder.empty() && fails(from)) return errno = error, -1;
  return real(from, to);
}

} // extern "C"
