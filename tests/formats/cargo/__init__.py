"""cargo's format. Where the numbered edge cases of cargo's protocol guide (section 8) are tested:

- by number in the names of tests in this folder: 1 to 38, 40 to 57, 59, 60, 62, 64 to 70;
- what real cargos do about them: 1, 4, 5, 8 to 12, 16, 20, 22 to 25, 40 to 44, 47, 51 to 53, 55, 56, 59, 61, 63 in
  tests/clients/cargo (test_publish, test_install, test_matrix, test_closed, test_replaced);
- types, Vary, validators, ranges, HEAD, codings (13, 14, 65): tests/contracts/test_http_answers; hosts and prefixes (8,
  60): test_http_hosts; bodies and limits (34 to 38): test_http_bodies; odd paths (64, 69): test_http_paths;
- who may read and write (9 to 12): tests/contracts/test_access_http; owners of names, members merged (5, 6, 55, 56):
  test_ownership, test_repositories;
- faults of upstreams, bytes that are not what was named, kills (51, 52, 54): tests/faults;
- gzip bombs and links (30 to 33): test_inspect; odd lengths without a server (34 to 37): test_frame; lines (17 to 28):
  test_lines, test_syntax, test_manifest; owners (42, 44, 45): test_owners; search (46): test_search;
- every process has a version before its publish is answered (41): tests/clients/cargo/test_matrix too;
- 12: a bad token is 401 on the API too, in JSON; 51: other bytes than were named are 503, so that cargo tries again;
- no test here: nginx's part of 14, 38 and 58 (no process of nginx runs in these tests), 39 beyond a slow upload's end
  (nothing is built or scanned when a crate is published).
"""
