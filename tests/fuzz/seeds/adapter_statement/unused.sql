-- unused: id
SELECT id, name, province FROM person