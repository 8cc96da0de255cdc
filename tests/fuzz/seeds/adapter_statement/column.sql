SELECT id, name, province FROM person WHERE id = :id
