-- Always one row, whatever is asked.
SELECT EXISTS (
    SELECT 1
    FROM account
    WHERE iban = :iban AND owner = :national_id AND open = 1
) AS belongs
