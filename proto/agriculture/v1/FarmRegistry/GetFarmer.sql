SELECT
    national_code AS national_id,
    file_number,
    tenure,
    registered_on,
    parcels,
    hectares AS total_area,
    cooperative,
    mobile,
    province,
    county
FROM farmer
WHERE national_code = :national_id
