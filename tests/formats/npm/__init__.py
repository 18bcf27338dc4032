"""npm's format. Where the numbered edge cases of npm's protocol guide (section 8) are tested:

- by number in the names of tests in this folder: 1, 3, 4, 5, 7 to 14, 16 to 35, 37, 39 to 42, 46, 47, 49, 51, 55 to 67;
- addresses in every escaping (1, 2): test_paths, test_publish, test_tags;
- types, Vary, validators, ranges, HEAD (5, 6, 7, 13, 14, 15, 38): tests/contracts/test_http_answers;
- hosts, prefixes, each with its own ETag (15, 48, 49): tests/contracts/test_http_hosts;
- owners of names, members merged, changes through groups (44 to 46): tests/contracts/test_ownership, test_repositories;
- faults of upstreams, bytes that are not what was named (38, 39, 40, 61): tests/faults/test_files, test_pages;
- texts that databases refuse (59): test_reading, test_publish; logins and their words (52, 53, 54): test_accounts,
  tests/clients/npm/test_login.
"""
