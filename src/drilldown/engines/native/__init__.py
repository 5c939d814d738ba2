"""The native engine: a whole epoch in C++. README.md beside this file explains how it works."""
